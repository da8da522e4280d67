package kernel

const (
	blockPanels = 18      // panels of A, of panelDepth steps, that with a panel of B stay in the second-level cache
	blockCols   = 4       // panels of B that such a block is multiplied by at a time
	maxPacked   = 1 << 22 // elements of B packed at a time, about
)

// slab is some steps of a product. right are panels of B for some columns, nil: each is packed when it is needed.
type slab[T Float] struct {
	span
	right []T
}

// many multiplies some steps at a time, and blocks of rows: whoever takes one packs it, and it stays in the cache while panels of B pass by.
func (g *product[T]) many() {
	var all []slab[T]
	eachDepth(g.k, panelDepth, 4, func(steps span) {
		all = append(all, slab[T]{span: steps})
		if g.packed != nil {
			all[len(all)-1].right = any(g.packed.data).([]T)[roundUp(g.n, g.cols)*steps.lo:]
		}
	})
	blocks := divide(divide(g.m, g.rows), max(1, blockPanels*panelDepth/all[0].len()))
	if g.packed != nil || blocks == 1 { // no panel of B is needed twice
		g.blocks(blocks, span{0, g.n}, all)
		return
	}
	together := min(len(all), max(1, maxPacked/(g.n*all[0].len())))
	width := roundUp(min(g.n, max(1, maxPacked/all[0].len())), g.cols)
	packed := borrow[T](width * min(g.k, together*all[0].len()))
	defer packed.giveBack()
	for ; len(all) > 0; all = all[min(together, len(all)):] {
		some := all[:min(together, len(all))]
		for j := 0; j < g.n; j += width {
			cols := span{j, min(j+width, g.n)}
			for i, s := range some {
				some[i].right = packed.x[width*(s.lo-some[0].lo):]
				g.b.packTogether(some[i].right, g.cols, cols, s.span)
			}
			g.blocks(blocks, cols, some)
		}
	}
}

// blocks adds the products of slabs to some columns of C. Where rows of A can be read in place, columns go through all of them while they are in the
// cache.
func (g *product[T]) blocks(blocks int, cols span, slabs []slab[T]) {
	panels, columns := divide(g.m, g.rows), divide(cols.len(), g.cols)
	wide := min(max(1, blocks*columns/(8*Threads())), blockCols)
	groups := divide(columns, wide)
	serial := g.m*cols.len()*g.k < serialWork
	at := 1 // slabs at a time
	if g.a.readInPlace() {
		at = len(slabs)
	}
	inPhases(len(slabs)/at, blocks*groups, serial, func() (f func(phase, i, nextPhase, next int), end func()) {
		w := blockWorker[T]{product: g, cols: cols}
		var block, panel scratch[T]
		if !g.a.readInPlace() {
			block = borrow[T](divide(panels, blocks) * g.rows * slabs[0].len())
			w.block = block.x
		}
		if slabs[0].right == nil {
			panel = borrow[T](g.cols * slabs[0].len())
			w.panel = panel.x
		}
		return func(phase, i, nextPhase, next int) {
				block, first := i/groups, i%groups*wide
				rows, own := span{block * panels / blocks, (block + 1) * panels / blocks}, slabs[phase*at:][:at]
				for s := range own {
					w.take(own[s], rows)
					later, from := slabs[nextPhase*at], max(0, next)%groups*wide
					if s+1 < at {
						later, from = own[s+1], first
					}
					w.multiply(span{first, min(first+wide, columns)}, later, from)
				}
			}, func() {
				block.giveBack()
				panel.giveBack()
			}
	})
}

// blockWorker is what one goroutine has for it.
type blockWorker[T Float] struct {
	*product[T]
	cols span
	slab[T]
	rows  span // panels of A that it multiplies
	block []T  // these, nil: they are read where they are
	panel []T  // of B that it packs
}

// panelRows are the rows of a panel of A. They are divided evenly: a last panel of two rows would take as long as one of six.
func (g *product[T]) panelRows(panel int) span {
	panels := divide(g.m, g.rows)
	return span{panel * g.m / panels, (panel + 1) * g.m / panels}
}

// take makes steps and panels of A those that are multiplied, and packs them if need be.
func (w *blockWorker[T]) take(s slab[T], panels span) {
	packed := w.block == nil || w.span == s.span && w.rows == panels
	w.slab, w.rows = s, panels
	if packed {
		return
	}
	g, k := w.product, s.len()
	for p := panels.lo; p < panels.hi; p++ {
		g.a.pack(w.block[(p-panels.lo)*g.rows*k:], g.rows, g.panelRows(p), s.lo, k, span{0, k})
	}
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

// multiply adds the product of what it took and some panels of B. Meanwhile it fetches the next one, after the last the one with number next
// of another slab, which comes later.
func (w *blockWorker[T]) multiply(panels span, later slab[T], next int) {
	g, k := w.product, w.len()
	a := g.a.left(k)
	if w.block != nil {
		a = packedLeft[T](nil, k)
	}
	for p := panels.lo; p < panels.hi; p++ {
		j := w.cols.lo + p*g.cols
		width := min(g.cols, w.cols.hi-j)
		following, in := next, later
		if p+1 < panels.hi {
			following, in = p+1, w.slab
		}
		b, ahead, soon, each := w.panel, w.panel, fetcher[T]{}, 0
		if w.right != nil {
			b, ahead = w.right[p*g.cols*k:], in.right[following*g.cols*in.len():]
		} else {
			g.b.pack(b, g.cols, span{j, j + width}, w.lo, k, span{0, k})
			from := w.cols.lo + following*g.cols
			soon = g.b.fetcher(span{from, min(from+g.cols, w.cols.hi)}, in.span)
			each = divide(soon.rows, w.rows.len())
		}
		for i := w.rows.lo; i < w.rows.hi; i++ {
			rows := g.panelRows(i)
			soon.fetch(each)
			if w.block != nil {
				a.x = w.block[(i-w.rows.lo)*g.rows*k:]
			} else {
				a.x = g.a.from(rows.lo, w.lo)
			}
			tile(rows.len(), k, a, b, g.cols, g.c[rows.lo*g.ldc+j:], g.ldc, width, g.accumulate || w.lo > 0, ahead)
			ahead = ahead[min(len(ahead)-1, 4*k):]
		}
	}
	if w.hi == g.k {
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
