package kernel

const (
	blockPanels = 18      // panels of A, of panelDepth steps, that with a panel of B stay in the second-level cache
	blockCols   = 4       // panels of B that such a block is multiplied by at a time
	maxPacked   = 1 << 22 // elements of B packed at a time, about
)

// many multiplies some steps at a time, and blocks of rows: whoever takes one packs it, and it stays in the cache while panels of B pass by.
func (g *product[T]) many() {
	eachDepth(g.k, panelDepth, 4, func(steps span) {
		blocks := divide(divide(g.m, g.rows), max(1, blockPanels*panelDepth/steps.len()))
		if g.packed != nil {
			g.blocks(blocks, span{0, g.n}, steps, any(g.packed.data).([]T)[roundUp(g.n, g.cols)*steps.lo:])
			return
		}
		if blocks == 1 { // no panel of B is needed twice
			g.blocks(blocks, span{0, g.n}, steps, nil)
			return
		}
		width := roundUp(min(g.n, maxPacked/steps.len()), g.cols)
		packed := borrow[T](width * steps.len())
		defer packed.giveBack()
		for j := 0; j < g.n; j += width {
			cols := span{j, min(j+width, g.n)}
			g.b.packTogether(packed.x, g.cols, cols, steps)
			g.blocks(blocks, cols, steps, packed.x)
		}
	})
}

// blocks adds the product over some steps to some columns of C. b are the panels of B, unless it is nil: then each is packed when it is needed.
func (g *product[T]) blocks(blocks int, cols, steps span, b []T) {
	panels, columns, k := divide(g.m, g.rows), divide(cols.len(), g.cols), steps.len()
	wide := min(max(1, blocks*columns/(8*Threads())), blockCols)
	groups := divide(columns, wide)
	serial := g.m*cols.len()*k < serialWork
	inRunsOf(blocks*groups, serial, func(int, span) (f func(i, next int), end func()) {
		w := blockWorker[T]{product: g, cols: cols, steps: steps, right: b, a: left[T]{row: g.a.ld, step: 1, run: k}}
		var block, panel scratch[T]
		if !g.a.readInPlace() {
			block = borrow[T](divide(panels, blocks) * g.rows * k)
			w.block, w.a = block.x, *packedLeft[T](nil, k)
		}
		if b == nil {
			panel = borrow[T](g.cols * k)
			w.panel = panel.x
		}
		taken := -1
		return func(i, next int) {
				if block := i / groups; block != taken {
					taken = block
					w.take(span{block * panels / blocks, (block + 1) * panels / blocks})
				}
				c := i % groups * wide
				w.multiply(span{c, min(c+wide, columns)}, max(0, next)%groups*wide)
			}, func() {
				block.giveBack()
				panel.giveBack()
			}
	})
}

// blockWorker is what one goroutine has for it.
type blockWorker[T Float] struct {
	*product[T]
	cols, steps span
	rows        span // panels of A that it multiplies
	block       []T  // these, nil: they are read where they are
	a           left[T]
	right       []T // panels of B, nil: it packs one at a time
	panel       []T // into this
}

// panelRows are the rows of a panel of A. They are divided evenly: a last panel of two rows would take as long as one of six.
func (g *product[T]) panelRows(panel int) span {
	panels := divide(g.m, g.rows)
	return span{panel * g.m / panels, (panel + 1) * g.m / panels}
}

// take makes panels of A those that are multiplied, and packs them if need be.
func (w *blockWorker[T]) take(panels span) {
	g, k := w.product, w.steps.len()
	w.rows = panels
	for p := panels.lo; p < panels.hi && w.block != nil; p++ {
		g.a.pack(w.block[(p-panels.lo)*g.rows*k:], g.rows, g.panelRows(p), w.steps.lo, k, span{0, k})
	}
}

// left is a panel of A, which begins with a row.
func (w *blockWorker[T]) left(panel, row int) *left[T] {
	if w.block != nil {
		w.a.x = w.block[(panel-w.rows.lo)*w.product.rows*w.steps.len():]
	} else {
		w.a.x = w.product.a.x[row*w.product.a.ld+w.steps.lo:]
	}
	return &w.a
}

// readInPlace reports whether tiles may read their rows of an operand where they are. So they do not if lanes lie side by side, as each step
// would come from another page, or if all lie in the same few lines of the first-level cache.
func (o operand[T]) readInPlace() bool { return !o.side && o.ld%1024 != 0 }

// RowStride is how far apart rows of n elements are best kept for products, so that they can be read in place: a little farther than they are
// long.
func RowStride(n int) int {
	if (n+16)%1024 == 0 {
		return n + 32
	}
	return n + 16
}

// multiply adds the product of what is packed and some panels of B. Meanwhile it fetches the next one, after the last that with number next.
func (w *blockWorker[T]) multiply(panels span, next int) {
	g, k := w.product, w.steps.len()
	for p := panels.lo; p < panels.hi; p++ {
		j := w.cols.lo + p*g.cols
		width := min(g.cols, w.cols.hi-j)
		following := next
		if p+1 < panels.hi {
			following = p + 1
		}
		b, ahead, soon, each := w.panel, w.panel, fetcher[T]{}, 0
		if w.right != nil {
			b, ahead = w.right[p*g.cols*k:], w.right[following*g.cols*k:]
		} else {
			g.b.pack(b, g.cols, span{j, j + width}, w.steps.lo, k, span{0, k})
			from := w.cols.lo + following*g.cols
			soon = g.b.fetcher(span{from, min(from+g.cols, w.cols.hi)}, w.steps)
			each = divide(soon.rows, w.rows.len())
		}
		for i := w.rows.lo; i < w.rows.hi; i++ {
			rows := g.panelRows(i)
			soon.fetch(each)
			tile(rows.len(), k, w.left(i, rows.lo), b, g.cols, g.c[rows.lo*g.ldc+j:], g.ldc, width, g.accumulate || w.steps.lo > 0, ahead)
			ahead = ahead[min(len(ahead)-1, 4*k):]
		}
	}
	if w.steps.hi == g.k {
		g.finish(g.panelRows(w.rows.lo).lo, g.panelRows(w.rows.hi-1).hi, w.cols.lo+panels.lo*g.cols, min(w.cols.lo+panels.hi*g.cols, w.cols.hi))
	}
}

// fetcher fetches a part of an operand little by little, rows of memory at a time.
type fetcher[T Float] struct {
	x           []T
	ld          int
	rows, width int // that are left, elements of one
}

func (o operand[T]) fetcher(lanes, steps span) fetcher[T] {
	if o.side {
		return fetcher[T]{o.x[steps.lo*o.ld+lanes.lo:], o.ld, steps.len(), lanes.len()}
	}
	return fetcher[T]{o.x[lanes.lo*o.ld+steps.lo:], o.ld, lanes.len(), steps.len()}
}

func (f *fetcher[T]) fetch(rows int) {
	rows = min(rows, f.rows)
	if s := vectorised[T](); s != nil && rows > 0 {
		s.fetch(single(f.x), f.ld, rows, divide(f.width, 16))
		f.x, f.rows = f.x[min(len(f.x), rows*f.ld):], f.rows-rows
	}
}
