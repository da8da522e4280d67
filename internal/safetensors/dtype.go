package safetensors

import "math"

// DType is the type of a tensor's elements, as the format's header spells it.
type DType string

// The types of the format. Those that Floats accepts can be read as float32; F32, F16 and BF16 can be written.
const (
	F64    DType = "F64"
	F32    DType = "F32"
	F16    DType = "F16"
	BF16   DType = "BF16"
	I64    DType = "I64"
	I32    DType = "I32"
	I16    DType = "I16"
	I8     DType = "I8"
	U64    DType = "U64"
	U32    DType = "U32"
	U16    DType = "U16"
	U8     DType = "U8"
	Bool   DType = "BOOL"
	C64    DType = "C64"
	F8E4M3 DType = "F8_E4M3"
	F8E5M2 DType = "F8_E5M2"
	F8E8M0 DType = "F8_E8M0"
	F6E2M3 DType = "F6_E2M3"
	F6E3M2 DType = "F6_E3M2"
	F4     DType = "F4"
)

// bits is an element's size; 0 stands for a type that the format does not know.
func (d DType) bits() int64 {
	switch d {
	case F64, I64, U64, C64:
		return 64
	case F32, I32, U32:
		return 32
	case F16, BF16, I16, U16:
		return 16
	case U8, I8, Bool, F8E4M3, F8E5M2, F8E8M0:
		return 8
	case F6E2M3, F6E3M2:
		return 6
	case F4:
		return 4
	}
	return 0
}

// Size returns the bytes of one element, 0 for an unknown type or one smaller than a byte.
func (d DType) Size() int { return int(d.bits() / 8) }

// Floats reports whether elements of this type can be read as float32: F64, F32, F16 and BF16.
func (d DType) Floats() bool { return d == F64 || d == F32 || d == F16 || d == BF16 }

// Info describes a tensor of a file. A scalar's shape is empty, not nil.
type Info struct {
	Name  string
	DType DType
	Shape []int
}

// Elements returns the product of the shape: 1 for a scalar, 0 if any dimension is 0.
func (i Info) Elements() int {
	n := 1
	for _, d := range i.Shape {
		n *= d
	}
	return n
}

// sizeOf returns a tensor's bytes, and false if they do not fit an int, are no whole number, or a dimension is negative.
func sizeOf(d DType, shape []int) (int64, bool) {
	n := int64(1)
	for _, dim := range shape {
		if dim < 0 {
			return 0, false
		}
		if dim > 0 && n > math.MaxInt64/64/int64(dim) {
			return 0, false
		}
		n *= int64(dim)
	}
	bits := n * d.bits()
	if bits%8 != 0 || n > math.MaxInt {
		return 0, false
	}
	return bits / 8, true
}
