package kernel

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"
)

// Packed is a matrix op(B) of float32 in the panels that products with many rows read. [Gemm] and [GemmBFloat16] make them anew for each
// product; of a weight that does not change they are made once. It may be shared.
type Packed struct {
	k, n     int
	bfloat16 bool
	cpu      *simd
	b        operand[float32] // what it was made of, for rows that cannot be cut into digits
	data     []float32        // panels of each stretch of up to depth steps, one after the other
	format   *panelFormat     // of panels, nil if there are none
	panels   []byte           // the same as data of up to panelDepth steps
	memory   *block           // of panels
	back     func()           // of data or panels that are borrowed
}

// CutsFloat32 reports whether products in float32 with many rows are made of operands that have to be cut into digits first.
func CutsFloat32() bool { return cpu.inDigits() }

// Pack brings op(B), k×n, into panels for [Gemm], or for [GemmBFloat16]. It returns nil where that is of no use: where there are no
// products in bfloat16, or a number cannot be cut into digits.
func Pack(bfloat16, transB bool, k, n int, b []float32, ldb int) *Packed {
	return pack(bfloat16, transB, k, n, b, ldb, false)
}

// packBriefly is Pack into memory that giveBack takes back.
func packBriefly(bfloat16, transB bool, k, n int, b []float32, ldb int) *Packed {
	return pack(bfloat16, transB, k, n, b, ldb, true)
}

func (p *Packed) giveBack() {
	if p.back != nil {
		p.back()
	}
	p.data, p.panels, p.back = nil, nil, nil
}

func pack(bfloat16, transB bool, k, n int, b []float32, ldb int, briefly bool) *Packed {
	checkMatrix("B", b, ldb, k, n, transB)
	o := operand[float32]{b, ldb, !transB}
	p := &Packed{k: k, n: n, bfloat16: bfloat16, cpu: cpu, b: o}
	switch {
	case k*n == 0 || cpu == nil:
		return nil
	case bfloat16 && cpu.tiles != nil:
		p.format = cpu.tiles.format
	case bfloat16:
		return nil
	case cpu.inDigits() && k >= digitLeast:
		p.format = digitPanels
	default:
		p.copy(o, briefly)
	}
	if p.format == nil {
		return p
	}
	if briefly {
		panels := p.format.newPanels(n, k)
		p.panels, p.back = panels.x, panels.back
	} else {
		p.panels, p.memory = longLived.take(p.before(k) + p.format.bytes) // what is next to be filled may be past the end
	}
	if p.cut(o) {
		p.giveBack()
		return nil
	}
	return p
}

func (p *Packed) copy(o operand[float32], briefly bool) {
	_, width := tileShape[float32]()
	wide := roundUp(p.n, width)
	if briefly {
		data := borrow[float32](wide * p.k)
		p.data, p.back = data.x, data.giveBack
	} else {
		var memory []byte
		memory, p.memory = longLived.take(4 * wide * p.k)
		p.data = unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(memory))), len(memory)/4)
	}
	eachDepth(p.k, depth(width), 4, func(steps span) { o.packTogether(p.data[wide*steps.lo:], width, span{0, p.n}, steps) })
}

// cut reports whether there was a number that cannot be cut.
func (p *Packed) cut(o operand[float32]) bool {
	defer runtime.KeepAlive(p)
	var wild atomic.Bool
	eachDepth(p.k, panelDepth, p.format.steps, func(steps span) {
		Parallel(divide(p.n, p.format.lanes), 4, func(lo, hi int) {
			m, giveBack := p.format.borrow()
			defer giveBack()
			if m.cut(p.stretch(steps).from(lo), true, o, span{lo * p.format.lanes, min(hi*p.format.lanes, p.n)}, steps) {
				wild.Store(true)
			}
		})
	})
	return wild.Load()
}

// before is the number of bytes of the panels of all steps before one at which a stretch begins, or the end.
func (p *Packed) before(step int) (bytes int) {
	eachDepth(p.k, panelDepth, p.format.steps, func(steps span) {
		if steps.lo < step {
			bytes += divide(p.n, p.format.lanes) * p.format.set(steps).size()
		}
	})
	return bytes
}

// stretch are the panels of a stretch of steps.
func (p *Packed) stretch(steps span) panelSet {
	s := p.format.set(steps)
	s.x = p.panels[p.before(steps.lo):p.before(steps.hi)]
	return s
}

// Multiply is [Gemm], or [GemmBFloat16], with the matrix for op(B): it sets C to the same bits.
func (p *Packed) Multiply(m int, a []float32, lda int, c []float32, ldc int, e *Epilogue[float32]) {
	defer runtime.KeepAlive(p)
	if p.cpu != cpu {
		panic(fmt.Sprintf("kernel: a matrix packed for %s, on %s", p.cpu.name, CPU()))
	}
	g := newProduct(false, false, m, p.n, 0, a, lda, nil, p.n, c, ldc, false, e)
	checkMatrix("A", a, lda, m, p.k, false)
	g.k, g.b, g.packed, g.coarse = p.k, p.b, p, p.bfloat16
	switch {
	case m == 0:
	case p.format != nil:
		p.format.multiply(&g)
	default:
		g.many()
	}
}
