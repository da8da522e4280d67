package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"
)

// F16ToFloat32 converts an IEEE 754 half; every half is a float32, so nothing is lost. NaNs keep their payload.
func F16ToFloat32(h uint16) float32 {
	bits := uint32(h&0x7fff) << 13
	if h&0x7c00 == 0x7c00 { // infinity or NaN
		bits |= 0x7f800000
	} else { // moves the exponent's bias from 15 to 127, subnormals included
		bits = math.Float32bits(math.Float32frombits(bits) * 0x1p112)
	}
	return math.Float32frombits(bits | uint32(h&0x8000)<<16)
}

// Float32ToF16 rounds to the nearest half, ties to even. What is 65520 or more in size becomes infinite.
func Float32ToF16(f float32) uint16 {
	bits := math.Float32bits(f)
	sign := uint16(bits>>16) & 0x8000
	bits &= 0x7fffffff
	switch {
	case bits > 0x7f800000: // NaN, made quiet
		return sign | 0x7e00 | uint16(bits>>13)&0x3ff
	case bits >= 0x47800000: // 65536 and more
		return sign | 0x7c00
	case bits < 0x38800000: // below 2^-14: at 0.5 float32's step is 2^-24, a subnormal half's, so the sum rounds for us
		return sign | uint16(math.Float32bits(math.Float32frombits(bits)+0.5)-0x3f000000)
	}
	bits += 0xfff + bits>>13&1
	return sign | uint16((bits-112<<23)>>13)
}

// BF16ToFloat32 converts a bfloat16, which is the upper half of a float32.
func BF16ToFloat32(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }

// Float32ToBF16 rounds to the nearest bfloat16, ties to even. NaNs are made quiet.
func Float32ToBF16(f float32) uint16 {
	bits := math.Float32bits(f)
	if bits&0x7fffffff > 0x7f800000 {
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}

// Decode converts little-endian elements of a float type to float32, whatever the machine's byte order. src holds
// len(dst)*d.Size() bytes. F64 is rounded to the nearest float32. It panics if d.Floats() is false.
func Decode(dst []float32, d DType, src []byte) {
	mustMatch(len(dst)*d.Size(), len(src))
	switch d {
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	case F16:
		for i := range dst {
			dst[i] = F16ToFloat32(binary.LittleEndian.Uint16(src[2*i:]))
		}
	case BF16:
		for i := range dst {
			dst[i] = BF16ToFloat32(binary.LittleEndian.Uint16(src[2*i:]))
		}
	case F64:
		for i := range dst {
			dst[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:])))
		}
	default:
		panic(fmt.Sprintf("safetensors: Decode of %s, want F64, F32, F16 or BF16", d))
	}
}

// Encode is the inverse of Decode for F32, F16 and BF16, rounding to the nearest, ties to even. dst holds
// len(src)*d.Size() bytes.
func Encode(dst []byte, d DType, src []float32) {
	mustMatch(len(dst), len(src)*d.Size())
	switch d {
	case F32:
		for i, f := range src {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(f))
		}
	case F16:
		for i, f := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], Float32ToF16(f))
		}
	case BF16:
		for i, f := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], Float32ToBF16(f))
		}
	default:
		panic(fmt.Sprintf("safetensors: Encode of %s, want F32, F16 or BF16", d))
	}
}

func mustMatch(dst, src int) {
	if dst != src {
		panic(fmt.Sprintf("safetensors: destination of %d, source of %d", dst, src))
	}
}
