// The number formats of safetensors: what the package calls them, how wide they are; half precision widened exactly.
"use strict";

wmgp.room((wmgp) => {
  // Bits of a value, by safetensors' name.
  const WIDTHS = {
    BOOL: 8, U8: 8, I8: 8, I16: 16, U16: 16, I32: 32, U32: 32, I64: 64, U64: 64, F16: 16, BF16: 16, F32: 32, F64: 64,
    C64: 64, F8_E5M2: 8, F8_E4M3: 8, F8_E8M0: 8, F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8, F4: 4, F6_E2M3: 6, F6_E3M2: 6,
  };

  // The package's names; what is not here keeps the file's.
  const NAMES = {
    BOOL: "bool", U8: "uint8", I8: "int8", I16: "int16", U16: "uint16", I32: "int32", U32: "uint32", I64: "int64",
    U64: "uint64", F16: "float16", BF16: "bfloat16", F32: "float32", F64: "float64", C64: "complex64",
    F8_E4M3: "float8_e4m3fn", F8_E5M2: "float8_e5m2", F8_E8M0: "float8_e8m0fnu",
  };

  const ARRAYS = { float16: Uint16Array, bfloat16: Uint16Array, float32: Float32Array, float64: Float64Array };

  const isHalf = (dtype) => dtype === "float16" || dtype === "bfloat16";

  // The bits of the float32 that equals a float16 of these 16 bits.
  function widenedFloat16(raw) {
    const sign = (raw & 0x8000) << 16;
    let exponent = (raw >> 10) & 0x1f;
    let mantissa = raw & 0x3ff;
    if (exponent === 0x1f) return (sign | 0x7f800000 | (mantissa << 13)) >>> 0;
    if (exponent === 0) {
      if (mantissa === 0) return sign >>> 0;
      exponent = 1; // a subnormal: shifted until its leading bit is the hidden one
      while (!(mantissa & 0x400)) {
        mantissa <<= 1;
        exponent--;
      }
      mantissa &= 0x3ff;
    }
    return (sign | ((exponent + 112) << 23) | (mantissa << 13)) >>> 0;
  }

  const tables = {};

  // The float32 bits of each of a half precision's 65,536 values.
  function widened(dtype) {
    const widen = dtype === "float16" ? widenedFloat16 : (raw) => (raw << 16) >>> 0;
    return (tables[dtype] ??= Uint32Array.from({ length: 1 << 16 }, (_, raw) => widen(raw)));
  }

  // The values of a block: float64 as it is, everything else as float32, exactly.
  function asFloats(block, dtype) {
    if (!isHalf(dtype)) return block;
    const table = widened(dtype);
    const bits = new Uint32Array(block.length);
    for (let i = 0; i < block.length; i++) bits[i] = table[block[i]];
    return new Float32Array(bits.buffer);
  }

  Object.assign(wmgp, { WIDTHS, NAMES, ARRAYS, isHalf, widened, asFloats });
});
