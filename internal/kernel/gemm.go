package kernel

import (
	"fmt"
	"math"
)

// Epilogue is what Gemm does to each element of its result before it leaves the cache.
type Epilogue[T Float] struct {
	Bias       []T // [n], added to every row; nil: none
	Activation Activation
	Pre        []T // [m*n], receives the value before the activation; nil: not stored
	Residual   []T // [m*n], added after the activation; nil: none
}

// Gemm computes C = op(A)·op(B), or C += op(A)·op(B) when accumulate is set, and then applies e if it is not nil. op(A)
// is m×k and op(B) is k×n; op transposes when its flag is set, so with transA the slice a holds a k×m matrix. With k = 0
// the product is zero.
//
// An element of C does not depend on the rows and columns computed beside it. For float32 on a machine with tiles of int8 it is a
// sum of products in digits, unless k is small; see digits.go. Elsewhere it is that of [GemmFew].
func Gemm[T Float](transA, transB bool, m, n, k int, a []T, lda int, b []T, ldb int, c []T, ldc int, accumulate bool, e *Epilogue[T]) {
	g := newProduct(transA, transB, m, n, k, a, lda, b, ldb, c, ldc, accumulate, e)
	if vectorised[T]().inDigits() && m*n > 0 && k >= digitLeast {
		digitPanels.multiply(any(&g).(*product[float32]))
	} else {
		g.plain()
	}
}

// GemmBFloat16 is Gemm with the elements of A and B rounded to bfloat16, to nearest with ties to even; products and sums are
// those of float32. Numbers below 1.2e-38 may count as zero. A [GELU] that follows has an error of up to 2⁻¹²·(|y|+2⁻¹⁰), which is
// less than rounding to bfloat16 adds.
//
// Where a machine is much faster at products of int16 than at those of bfloat16, as with AVX2, elements are rounded to integers instead: of up to 768
// along k, those of a row of A or of a column of B to multiples of a power of two, at most a 16,375th of the root of the sum of their squares. That is
// several times as exact, unless a few elements are a thousand times as large as the others and meet smaller ones. Sums of their products
// are exact. Numbers below 2e-34 may count as zero there, and beside an infinity all are NaN.
func GemmBFloat16(transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, accumulate bool, e *Epilogue[float32]) {
	g := newProduct(transA, transB, m, n, k, a, lda, b, ldb, c, ldc, accumulate, e)
	if m*n*k > 0 && cpu != nil && cpu.tiles != nil {
		g.coarse = true
		cpu.tiles.format.multiply(&g)
		return
	}
	g.a = g.a.round(m, k)
	g.b = g.b.round(n, k)
	g.plain()
}

// GemmFunc is what [Gemm] is.
type GemmFunc[T Float] func(transA, transB bool, m, n, k int, a []T, lda int, b []T, ldb int, c []T, ldc int, accumulate bool, e *Epilogue[T])

// GemmIn is [Gemm], or for float32 if asked [GemmBFloat16].
func GemmIn[T Float](bfloat16 bool) GemmFunc[T] {
	if f, ok := any(GemmFunc[float32](GemmBFloat16)).(GemmFunc[T]); ok && bfloat16 {
		return f
	}
	return Gemm[T]
}

// round is a copy of an operand of so many lanes and steps, rounded to bfloat16.
func (o operand[T]) round(lanes, steps int) operand[T] {
	rows, cols := lanes, steps
	if o.side {
		rows, cols = steps, lanes
	}
	x := make([]T, rows*cols)
	Parallel(rows, 1+serialWork/(4*max(1, cols)), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			for j, v := range o.x[i*o.ld:][:cols] {
				x[i*cols+j] = T(roundBFloat16(float32(v)))
			}
		}
	})
	return operand[T]{x, cols, o.side}
}

// roundBFloat16 is the bfloat16 nearest to x, ties to even. A NaN stays one.
func roundBFloat16(x float32) float32 {
	bits := math.Float32bits(x)
	if x != x {
		return math.Float32frombits((bits | 0x00400000) & 0xffff0000)
	}
	return math.Float32frombits(roundBits(bits) & 0xffff0000)
}

// roundBits has the upper half of the bfloat16 that is nearest to a finite float32, ties to even; its lower half is of no use.
func roundBits(bits uint32) uint32 { return bits + 0x7fff + bits>>16&1 }

// GemmFew is Gemm for a few rows of A, as in decoding, where B is read from memory for each product. Each element of C is one
// running sum over k in ascending order, of fused multiply-adds where the machine has them, starting from zero, or from C
// when accumulating. So here too it does not depend on what is beside it; but it may differ from Gemm's in the last bits.
func GemmFew[T Float](transA, transB bool, m, n, k int, a []T, lda int, b []T, ldb int, c []T, ldc int, accumulate bool, e *Epilogue[T]) {
	g := newProduct(transA, transB, m, n, k, a, lda, b, ldb, c, ldc, accumulate, e)
	g.plain()
}

func newProduct[T Float](transA, transB bool, m, n, k int, a []T, lda int, b []T, ldb int, c []T, ldc int, accumulate bool, e *Epilogue[T]) product[T] {
	checkMatrix("A", a, lda, m, k, transA)
	checkMatrix("B", b, ldb, k, n, transB)
	checkMatrix("C", c, ldc, m, n, false)
	if e != nil {
		if e.Bias != nil {
			checkLen("Gemm: bias", len(e.Bias), n)
		}
		if e.Pre != nil {
			checkLen("Gemm: Pre", len(e.Pre), m*n)
		}
		if e.Residual != nil {
			checkLen("Gemm: Residual", len(e.Residual), m*n)
		}
	}
	g := product[T]{m: m, n: n, k: k, a: operand[T]{a, lda, transA}, b: operand[T]{b, ldb, !transB}, c: c, ldc: ldc, accumulate: accumulate, e: e}
	g.rows, g.cols = tileShape[T]()
	return g
}

// plain multiplies in the elements' own arithmetic.
func (g *product[T]) plain() {
	switch {
	case g.m == 0 || g.n == 0:
	case g.k == 0:
		if !g.accumulate {
			for i := range g.m {
				clear(g.c[i*g.ldc : i*g.ldc+g.n])
			}
		}
		g.finish(0, g.m, 0, g.n)
	case g.b.side && g.m <= fewPanels*g.rows:
		g.few()
	default:
		g.many()
	}
}

// product is one call of Gemm. It follows Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication"
// (2008): both operands are packed into panels that the inner kernel, one tile of C wide, reads in order.
type product[T Float] struct {
	m, n, k    int
	a, b       operand[T]
	c          []T
	ldc        int
	accumulate bool
	e          *Epilogue[T]
	packed     *Packed // B, if it is
	coarse     bool    // see coarselyActivate
	rows, cols int     // of a tile
}

// An operand is seen as lanes of k steps: the rows of op(A), the columns of op(B). Panels of as many lanes as a tile is high
// or wide hold, for each step, that step of each lane.
type operand[T Float] struct {
	x    []T
	ld   int
	side bool // lanes lie side by side in memory, steps ld apart; otherwise the other way round
}

const (
	fewPanels  = 4       // panels of A for which packing B does not pay if its lanes lie side by side
	serialWork = 1 << 19 // multiplications not worth a second goroutine
)

// few multiplies when op(A) has so few rows that B, with lanes side by side, is better read where it is.
func (g *product[T]) few() {
	a := borrow[T](roundUp(g.m, g.rows) * g.k)
	defer a.giveBack()
	packAll(a.x, g.a, g.rows, g.m, g.k)
	Parallel(divide(g.n, g.cols), 1+serialWork/(g.m*g.cols*g.k), func(lo, hi int) {
		cols := span{lo * g.cols, min(hi*g.cols, g.n)}
		g.fewColumns(a.x, cols)
		g.finish(0, g.m, cols.lo, cols.hi)
	})
}

// fewColumns reads some rows of B at a time, which the processor fetches as so many streams. C stays in the cache.
func (g *product[T]) fewColumns(a []T, cols span) {
	const step = 16
	edge := borrow[T](step * g.cols)
	defer edge.giveBack()
	for p := 0; p < g.k; p += step {
		steps := min(step, g.k-p)
		for j := cols.lo; j < cols.hi; j += g.cols {
			width := min(g.cols, cols.hi-j)
			b, ldb := g.b.x[p*g.b.ld+j:], g.b.ld
			if width < g.cols {
				g.b.pack(edge.x, g.cols, span{j, cols.hi}, p, steps, span{0, steps})
				b, ldb = edge.x, g.cols
			}
			g.column(a, b, ldb, j, width, p, steps)
		}
	}
}

// column multiplies all of packed A by some steps of some columns of B.
func (g *product[T]) column(a, b []T, ldb, j, width, p, steps int) {
	for i := 0; i < g.m; i += g.rows {
		tile(min(g.rows, g.m-i), steps, packedLeft(a[i*g.k+p*g.rows:], steps), b, ldb, g.c[i*g.ldc+j:], g.ldc, width, g.accumulate || p > 0, b)
	}
}

type span struct{ lo, hi int }

func (s span) len() int { return s.hi - s.lo }

// finish applies the epilogue to the rows [i0, i1) and columns [j0, j1) of C.
func (g *product[T]) finish(i0, i1, j0, j1 int) {
	if g.e == nil || i0 == i1 {
		return
	}
	if s := vectorised[T](); s != nil && s.tiles != nil {
		p := any(g).(*product[float32])
		s.finish(p, p.c[i0*g.ldc+j0:], g.ldc, i0, i1, j0, j1, false)
		return
	}
	g.finishFrom(g.c[i0*g.ldc+j0:], g.ldc, i0, i1, j0, j1)
}

// activation is what applies the epilogue's activation.
func (g *product[T]) activation() func(act Activation, dst, x, bias, pre []T) {
	if g.coarse {
		return coarselyActivate[T]
	}
	return biasActivate[T]
}

// finishFrom sets rows and columns of C to those of x, which begins with the first of them, and applies the epilogue.
func (g *product[T]) finishFrom(x []T, ld, i0, i1, j0, j1 int) {
	var bias, pre []T
	activate := g.activation()
	if g.e != nil && g.e.Bias != nil {
		bias = g.e.Bias[j0:j1]
	}
	for i := i0; i < i1; i++ {
		row, from := g.c[i*g.ldc+j0:i*g.ldc+j1], x[(i-i0)*ld:][:j1-j0]
		if g.e == nil {
			copy(row, from)
			continue
		}
		if g.e.Pre != nil {
			pre = g.e.Pre[i*g.n+j0 : i*g.n+j1]
		}
		activate(g.e.Activation, row, from, bias, pre)
		if g.e.Residual != nil {
			add(row, row, g.e.Residual[i*g.n+j0:i*g.n+j1])
		}
	}
}

// multiplyPanels sets the m×n matrix c to, or adds to it, the product of the rows of a, read where they are, and of b, packed, over the first k
// steps of its panels, which have stepsB.
func multiplyPanels[T Float](m, n, k int, a operand[T], b []T, stepsB int, c []T, ldc int, accumulate bool) {
	height, width := tileShape[T]()
	panels := divide(m, height)
	for p := 0; p < k; p += panelDepth {
		steps := min(panelDepth, k-p)
		left := a.left(steps)
		for j := 0; j < n; j += width {
			panel, next := b[j*stepsB+p*width:], b[j*stepsB+p*width:]
			if j+width < n {
				next = b[(j+width)*stepsB+p*width:]
			}
			for i := range panels {
				rows := span{i * m / panels, (i + 1) * m / panels}
				left.x = a.from(rows.lo, p)
				tile(rows.len(), steps, left, panel, width, c[rows.lo*ldc+j:], ldc, min(width, n-j), accumulate || p > 0, next)
				next = next[min(len(next)-1, 4*steps):]
			}
		}
	}
}

// multiplyPanel sets the m×n matrix c to the product of a, no more rows than a tile, and of b, whose n lanes lie side by side and fill whole panels.
// Both are read where they are.
func multiplyPanel[T Float](m, n, k int, a, b operand[T], c []T, ldc int) {
	_, width := tileShape[T]()
	for p := 0; p < k; p += panelDepth {
		steps := min(panelDepth, k-p)
		left := a.left(steps)
		left.x = a.from(0, p)
		for j := 0; j < n; j += width {
			side := b.x[p*b.ld+j:]
			tile(m, steps, left, side, b.ld, c[j:], ldc, width, p > 0, side)
		}
	}
}

// packTogether packs some lanes and steps, with all threads.
func (o operand[T]) packTogether(dst []T, width int, lanes, steps span) {
	task := o.packTasks(lanes.len(), steps.len(), width)
	inOrder(task.count(), func(i int) { o.packTask(dst, width, lanes, steps, task, i) })
}

// packTasks is how the packing of an operand is divided: into ranges of lanes, and of steps.
type packTasks struct{ lanes, steps, rangesOfLanes, rangesOfSteps int }

func (t packTasks) count() int { return t.rangesOfLanes * t.rangesOfSteps }

// packTasks divides so that a task reads long stretches of memory.
func (o operand[T]) packTasks(lanes, k, width int) packTasks {
	const work = 1 << 15 // elements
	t := packTasks{lanes: roundUp(max(1, work/k), width), steps: k}
	if o.side {
		t.steps = min(k, 32)
		t.lanes = roundUp(work/t.steps, width)
	}
	t.rangesOfLanes, t.rangesOfSteps = divide(lanes, t.lanes), divide(k, t.steps)
	return t
}

func (o operand[T]) packTask(dst []T, width int, lanes, steps span, t packTasks, i int) {
	lane, step := i/t.rangesOfSteps*t.lanes, i%t.rangesOfSteps*t.steps
	part := span{lanes.lo + lane, min(lanes.lo+lane+t.lanes, lanes.hi)}
	o.pack(dst[lane*steps.len():], width, part, steps.lo, steps.len(), span{step, min(step+t.steps, steps.len())})
}

// pack fills panels of the given width with some lanes. The panels have k steps, counted from the given first one, of which part
// are filled now. The last panel's missing lanes are left as they are: tiles read them, but do not keep what comes of it.
func (o operand[T]) pack(dst []T, width int, lanes span, first, k int, part span) {
	s := vectorised[T]()
	lane, step := o.ld, 1
	if o.side {
		lane, step = 1, o.ld
	}
	if part.len() == 0 {
		return
	}
	for i := 0; i < lanes.len(); i += width {
		panel, n := dst[i*k+part.lo*width:], min(width, lanes.len()-i)
		src := o.x[(first+part.lo)*step+(lanes.lo+i)*lane:]
		switch {
		case s == nil:
			packGeneric(panel, width, src, lane, step, n, part.len())
		case o.side:
			for l := 0; l < n; l += s.lanes {
				s.packCopy(single(panel[l:]), width, single(src[l:]), o.ld, min(s.lanes, n-l), part.len())
			}
		default:
			for l := 0; l < n; l += s.lanes {
				s.packTranspose(single(panel[l:]), width, single(src[l*o.ld:]), o.ld, min(s.lanes, n-l), part.len())
			}
		}
	}
}

// packGeneric packs one panel of lanes and steps that lie so far apart.
func packGeneric[T Float](dst []T, width int, src []T, lane, step, lanes, k int) {
	for p := range k {
		for i := range lanes {
			dst[p*width+i] = src[i*lane+p*step]
		}
	}
}

// The tile in plain Go, small enough for the registers.
const (
	genericRows = 2
	genericCols = 4
)

func tileShape[T Float]() (rows, cols int) {
	if s := vectorised[T](); s != nil {
		return s.rows, s.cols
	}
	return genericRows, genericCols
}

// left are rows of A as tiles read them: element i of step p at x[i*row+p*step+p/run*jump]. They are passed by address: a copy would wait until
// the last tile is in the cache.
type left[T Float] struct {
	x                    []T
	row, step, run, jump int
}

// packedLeft are rows that have been packed.
func packedLeft[T Float](x []T, k int) *left[T] {
	rows, _ := tileShape[T]()
	return &left[T]{x, 1, rows, k, 0}
}

// left is how far apart elements of an operand are for tiles that read rows where they are, which x is then set to.
func (o operand[T]) left(run int) *left[T] {
	if o.side {
		return &left[T]{nil, 1, o.ld, run, 0}
	}
	return &left[T]{nil, o.ld, 1, run, 0}
}

// tile adds to, or sets, the first cols columns of some rows of c: the product of as many rows of A and of k rows of b, ldb apart, that
// hold as many columns as a tile, whether needed or not. Meanwhile it may fetch ahead, which will be needed soon, into the cache.
func tile[T Float](rows, k int, a *left[T], b []T, ldb int, c []T, ldc, cols int, accumulate bool, ahead []T) {
	if s := vectorised[T](); s != nil {
		kernels := s.tile
		if cols <= s.lanes {
			kernels = s.halfTile
		}
		kernels[rows-1](k, single(a.x), a.row, a.step, a.run, a.jump, single(b), ldb, single(c), ldc, cols, accumulate, single(ahead))
		return
	}
	var old, sum [genericRows][genericCols]T
	if accumulate {
		for i := range rows {
			copy(old[i][:cols], c[i*ldc:])
		}
	}
	x00, x01, x02, x03 := old[0][0], old[0][1], old[0][2], old[0][3]
	x10, x11, x12, x13 := old[1][0], old[1][1], old[1][2], old[1][3]
	second := a.row * (rows - 1)
	for p, i, n := 0, 0, a.run; p < k; p++ {
		y0, y1, z := a.x[i], a.x[i+second], b[:4:4]
		x00 += y0 * z[0]
		x01 += y0 * z[1]
		x02 += y0 * z[2]
		x03 += y0 * z[3]
		x10 += y1 * z[0]
		x11 += y1 * z[1]
		x12 += y1 * z[2]
		x13 += y1 * z[3]
		if p < k-1 {
			b = b[ldb:]
		}
		i += a.step
		if n--; n == 0 {
			i, n = i+a.jump, a.run
		}
	}
	sum[0] = [4]T{x00, x01, x02, x03}
	sum[1] = [4]T{x10, x11, x12, x13}
	for i := range rows {
		copy(c[i*ldc:i*ldc+cols], sum[i][:])
	}
}

func divide(n, by int) int { return (n + by - 1) / by }

func roundUp(n, to int) int { return divide(n, to) * to }

func checkMatrix[T Float](name string, x []T, ld, rows, cols int, transposed bool) {
	if transposed {
		rows, cols = cols, rows
	}
	if rows < 0 || cols < 0 || ld < cols {
		panic(fmt.Sprintf("kernel: %s is %d×%d with leading dimension %d", name, rows, cols, ld))
	}
	if rows > 0 && cols > 0 && len(x) < (rows-1)*ld+cols {
		panic(fmt.Sprintf("kernel: %s is %d×%d with leading dimension %d, but its slice has %d elements", name, rows, cols, ld, len(x)))
	}
}

func checkLen(name string, got, want int) {
	if got < want {
		panic(fmt.Sprintf("kernel: %s has %d elements, want %d", name, got, want))
	}
}
