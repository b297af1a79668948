// The dtypes of safetensors: names in the package, widths in bits, and exact conversion of half precision.
"use strict";

wmgp.defineModule((wmgp) => {
  // Bits per value, by safetensors' names.
  const WIDTHS = {
    BOOL: 8, U8: 8, I8: 8, I16: 16, U16: 16, I32: 32, U32: 32, I64: 64, U64: 64, F16: 16, BF16: 16, F32: 32, F64: 64,
    C64: 64, F8_E5M2: 8, F8_E4M3: 8, F8_E8M0: 8, F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8, F4: 4, F6_E2M3: 6, F6_E3M2: 6,
  };

  // The package's names; other dtypes keep the file's name.
  const NAMES = {
    BOOL: "bool", U8: "uint8", I8: "int8", I16: "int16", U16: "uint16", I32: "int32", U32: "uint32", I64: "int64",
    U64: "uint64", F16: "float16", BF16: "bfloat16", F32: "float32", F64: "float64", C64: "complex64",
    F8_E4M3: "float8_e4m3fn", F8_E5M2: "float8_e5m2", F8_E8M0: "float8_e8m0fnu",
  };

  const ARRAYS = { float16: Uint16Array, bfloat16: Uint16Array, float32: Float32Array, float64: Float64Array };

  const isHalf = (dtype) => dtype === "float16" || dtype === "bfloat16";

  // The bits of the float32 that equals the float16 with the 16 bits `raw`.
  function float16ToFloat32Bits(raw) {
    const sign = (raw & 0x8000) << 16;
    let exponent = (raw >> 10) & 0x1f;
    let mantissa = raw & 0x3ff;
    if (exponent === 0x1f) return (sign | 0x7f800000 | (mantissa << 13)) >>> 0;
    if (exponent === 0) {
      if (mantissa === 0) return sign >>> 0;
      exponent = 1; // subnormal: shift until the leading bit becomes the implicit one
      while (!(mantissa & 0x400)) {
        mantissa <<= 1;
        exponent--;
      }
      mantissa &= 0x3ff;
    }
    return (sign | ((exponent + 112) << 23) | (mantissa << 13)) >>> 0;
  }

  const tables = {};

  // The float32 bits of each of the 65,536 patterns of a half-precision dtype.
  function float32Bits(dtype) {
    const widen = dtype === "float16" ? float16ToFloat32Bits : (raw) => (raw << 16) >>> 0;
    return (tables[dtype] ??= Uint32Array.from({ length: 1 << 16 }, (_, raw) => widen(raw)));
  }

  // The exact values of a block: float64 unchanged, other dtypes as float32.
  function asFloats(block, dtype) {
    if (!isHalf(dtype)) return block;
    const table = float32Bits(dtype);
    const bits = new Uint32Array(block.length);
    for (let i = 0; i < block.length; i++) bits[i] = table[block[i]];
    return new Float32Array(bits.buffer);
  }

  Object.assign(wmgp, { WIDTHS, NAMES, ARRAYS, isHalf, float32Bits, asFloats });
});
