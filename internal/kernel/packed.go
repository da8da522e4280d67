package kernel

import (
	"fmt"
	"unsafe"
)

// Packed is a matrix op(B) of float32 in the panels that products with many rows read. [Gemm] and [GemmBFloat16] make them anew for each
// product; of a weight that does not change they are made once. It may be shared.
type Packed struct {
	k, n     int
	bfloat16 bool
	cpu      *simd
	data     []float32 // panels of each stretch of up to maxDepth steps, one after the other
	pieces   []byte    // the same of up to splitDepth steps, in bfloat16
}

// Pack brings op(B), k×n, into panels for [Gemm], or for [GemmBFloat16]. It returns nil where that is of no use: where the product in
// float32 is made of pieces, which would take more memory than the matrix, or there are no products in bfloat16.
func Pack(bfloat16, transB bool, k, n int, b []float32, ldb int) *Packed {
	checkMatrix("B", b, ldb, k, n, transB)
	p := &Packed{k: k, n: n, bfloat16: bfloat16, cpu: cpu}
	o := operand[float32]{b, ldb, !transB}
	switch {
	case k*n == 0 || cpu == nil:
		return nil
	case bfloat16 && cpu.tiles != nil:
		p.round(o)
	case bfloat16 || cpu.pieces():
		return nil
	default:
		p.copy(o)
	}
	return p
}

func (p *Packed) copy(o operand[float32]) {
	_, width := tileShape[float32]()
	wide := roundUp(p.n, width)
	p.data = make([]float32, wide*p.k)
	for first := 0; first < p.k; first += maxDepth {
		steps := span{first, min(first+maxDepth, p.k)}
		task := o.packTasks(p.n, steps.len(), width)
		inOrder(task.count(), func(i int) { o.packTask(p.data[wide*first:], width, span{0, p.n}, steps, task, i) })
	}
}

func (p *Packed) round(o operand[float32]) {
	panels := divide(p.n, splitPanel)
	memory := make([]byte, p.before(p.k)+63+splitHigh) // a tile's place after its last step may be past the end
	p.pieces = memory[-uintptr(unsafe.Pointer(unsafe.SliceData(memory)))&63:][:p.before(p.k)]
	eachDepth(p.k, func(steps span) {
		Parallel(panels, 4, func(lo, hi int) {
			s := borrowSplitter()
			defer splitters.Put(s)
			s.cut(p.stretch(steps), lo, true, o, span{lo * splitPanel, min(hi*splitPanel, p.n)}, steps)
		})
	})
}

// before is the number of bytes of the pieces of all steps before one at which a stretch begins, or the end.
func (p *Packed) before(step int) int {
	return divide(p.n, splitPanel) * divide(step, splitStep) * splitHigh
}

// stretch are the pieces of a stretch of steps.
func (p *Packed) stretch(steps span) pieces {
	return pieces{steps: divide(steps.len(), splitStep), x: p.pieces[p.before(steps.lo):p.before(steps.hi)]}
}

// Multiply is [Gemm], or [GemmBFloat16], with the matrix for op(B): it sets C to the same bits.
func (p *Packed) Multiply(m int, a []float32, lda int, c []float32, ldc int, e *Epilogue[float32]) {
	if p.cpu != cpu {
		panic(fmt.Sprintf("kernel: a matrix packed for %s, on %s", p.cpu.name, CPU()))
	}
	g := newProduct(false, false, m, p.n, 0, a, lda, nil, p.n, c, ldc, false, e)
	checkMatrix("A", a, lda, m, p.k, false)
	g.k, g.packed = p.k, p
	switch {
	case m == 0:
	case p.bfloat16:
		g.rounded = true
		split(&g)
	default:
		g.many()
	}
}
