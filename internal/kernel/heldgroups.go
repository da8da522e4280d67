package kernel

import "unsafe"

// A panel of some formats is in groups of 64 steps. In a group each column has a scale, and its elements are numbers times that; the scales are
// in front, and some steps, a unit, lie together in three vectors of 16 lanes, the last with zeros if there are fewer.
//
// Sums are of the numbers, and are multiplied by the scale when a group ends. So that they stay within float32, A is multiplied by a power of
// two before.
const (
	groupSteps  = 64
	groupScales = 4 * heldCols // bytes
	groupUnit   = 3 * 64       // bytes
)

// grouped is what is special about such a format.
type grouped struct {
	unit      int        // steps that lie together; 0 for formats without groups
	one       float32    // what A is multiplied by
	otherwise HeldFormat // how to hold what has an element that cannot be held

	// cut makes a group of up to 64 steps of x, whole units. It reports whether there is an element that cannot be held.
	cut func(group []byte, x []float32) (wild bool)
	// number is one of a group, in place of one of A times an element, without its scale.
	number func(steps []byte, step, column int) float32
}

var groupedFormats = [heldFormats]grouped{
	HeldInt24:    {2, int24One, HeldFloat32, cutInt24, int24Number},
	HeldBFloat12: {4, bfloat12One, HeldBFloat16, cutBFloat12, bfloat12Number},
}

// groupKernels are in assembly: cut as in grouped, and floats, which sets x to the elements of a group; both of so many units, at least one.
type groupKernels struct {
	cut    func(group *byte, x *float32, units int) bool
	floats func(x *float32, group *byte, units int)
}

// grouped is what is special about the matrix's format, nil if it has no groups.
func (h *Held) grouped() *grouped {
	if f := &groupedFormats[h.format]; f.unit > 0 {
		return f
	}
	return nil
}

// groupBytes are those of a whole group.
func (f *grouped) groupBytes() int { return f.bytes(groupSteps) }

// bytes are those of a panel of so many steps.
func (f *grouped) bytes(k int) int {
	return divide(k, groupSteps)*groupScales + divide(k, f.unit)*groupUnit
}

// group are the bytes from the group of a step on.
func (f *grouped) group(panel []byte, step int) []byte { return panel[step/groupSteps*f.groupBytes():] }

// element is one of a panel.
func (f *grouped) element(panel []byte, step, column int) float32 {
	group := f.group(panel, step)
	return f.number(group[groupScales:], step%groupSteps, column) * f.one * *groupScale(group, column)
}

// groupScale is that of a column in a group.
func groupScale(group []byte, column int) *float32 {
	return (*float32)(unsafe.Pointer(&group[4*column]))
}

// unitWords are the three that have the numbers of a unit in the lane of a column.
func unitWords(steps []byte, unit, column int) (w [3]*uint32) {
	for q := range w {
		w[q] = (*uint32)(unsafe.Pointer(&steps[unit*groupUnit+64*q+column%(heldCols/2)*4]))
	}
	return w
}

// cutGroup is cut.
func (h *Held) cutGroup(group []byte, x []float32) (wild bool) {
	f := h.grouped()
	if cpu != nil {
		return cpu.groups[h.format].cut(&group[0], &x[0], len(x)/(f.unit*heldCols))
	}
	return f.cut(group, x)
}

// floatsOfGroups sets x to the elements of a panel.
func (h *Held) floatsOfGroups(x []float32, panel []byte) {
	f := h.grouped()
	for first := 0; first < h.k; first += groupSteps {
		steps, done := min(groupSteps, h.k-first), 0
		if cpu != nil && steps >= f.unit {
			units := steps / f.unit
			cpu.groups[h.format].floats(&x[first*heldCols], &f.group(panel, first)[0], units)
			done = units * f.unit
		}
		for p := first + done; p < first+steps; p++ {
			for j := range heldCols {
				x[p*heldCols+j] = f.element(panel, p, j)
			}
		}
	}
}

// rows are those of A as the kernels take them: times one, with zeros where those of the last unit are. They are ld apart.
func (f *grouped) rows(m, k int, a []float32, lda int) (rows scratch[float32], ld int) {
	ld = roundUp(k, f.unit)
	rows = borrow[float32](m * ld)
	for i := range m {
		row := rows.x[i*ld:][:ld]
		scale(f.one, row[:k], a[min(len(a), i*lda):][:k])
		clear(row[k:])
	}
	return rows, ld
}
