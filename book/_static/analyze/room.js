// A room holds one idea: a function that adds its names to `wmgp`. Rooms run where they are loaded, and client.js hands
// their text to the worker: a page opened from a disk can fetch nothing, so the worker is made of what is here already.
"use strict";

function beginRooms(scope) {
  const wmgp = { rooms: [] };
  wmgp.room = (make) => {
    wmgp.rooms.push(make);
    make(wmgp);
  };
  // Bad input: one line for the reader, naming the file or tensor and what was expected.
  wmgp.InputError = class extends Error {};
  scope.wmgp = wmgp;
}

beginRooms(globalThis);
globalThis.wmgp.beginRooms = beginRooms;
