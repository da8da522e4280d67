package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Neither Go's assembler nor avo knows the tile instructions, so they are emitted byte by byte (Intel, "64 and IA-32
// Architectures Software Developer's Manual", volume 2). avo does not see what such an instruction reads, so the functions
// that have some name all their registers themselves.

// general is a general-purpose register and its number in an instruction.
type general struct {
	reg.Register
	number uint8
}

var (
	rax = general{reg.RAX, 0}
	rdx = general{reg.RDX, 2}
	rbx = general{reg.RBX, 3}
	rsi = general{reg.RSI, 6}
	rdi = general{reg.RDI, 7}
	r10 = general{reg.R10, 10}
	r11 = general{reg.R11, 11}
	r13 = general{reg.R13, 13}
)

func emit(bytes ...uint8) {
	for _, b := range bytes {
		Instruction(&ir.Instruction{Opcode: "BYTE", Operands: []Op{U8(b)}})
	}
}

const (
	prefixNone = iota
	prefix66
	prefixF3
	prefixF2
)

// vex38 begins an instruction of the map 0F38 with vector length 128 and W0; v is the register that VEX itself names.
func vex38(prefix, v, base, index uint8) {
	emit(0xc4, 0x80|(^index>>3&1)<<6|(^base>>3&1)<<5|2, (^v&15)<<3|prefix)
}

// tileMemory is an instruction with one tile and rows in memory, stride bytes apart.
func tileMemory(prefix, opcode, t uint8, base general, disp int, stride general) {
	vex38(prefix, 0, base.number, stride.number)
	emit(opcode, 0x80|t<<3|4, (stride.number&7)<<3|base.number&7,
		uint8(disp), uint8(disp>>8), uint8(disp>>16), uint8(disp>>24))
}

func tileLoad(t uint8, base general, disp int, stride general) {
	tileMemory(prefixF2, 0x4b, t, base, disp, stride)
}

// tileStream is TILELOADDT1, tileLoad of what need not come to stay in the first-level cache.
func tileStream(t uint8, base general, disp int, stride general) {
	tileMemory(prefix66, 0x4b, t, base, disp, stride)
}

func tileStore(t uint8, base general, disp int, stride general) {
	tileMemory(prefixF3, 0x4b, t, base, disp, stride)
}

func tileZero(t uint8) {
	vex38(prefixF2, 0, 0, 0)
	emit(0x49, 0xc0|t<<3)
}

// tileDotBF16 is TDPBF16PS: c += a·b of 16 rows of 16 pairs and 16 pairs of rows of 16 columns.
func tileDotBF16(c, a, b uint8) {
	vex38(prefixF3, b, 0, 0)
	emit(0x5c, 0xc0|c<<3|a)
}

// tileConfigure takes the 64 bytes that base points to.
func tileConfigure(base general) {
	vex38(prefixNone, 0, base.number, 0)
	emit(0x49, base.number&7)
}

func tileRelease() {
	vex38(prefixNone, 0, 0, 0)
	emit(0x49, 0xc0)
}

const (
	tileBytes = 1024          // 16 rows of 64 bytes
	highBytes = 2 * tileBytes // of a panel's step
)

// configureTiles writes the shapes of the tiles: all have 16 rows of 64 bytes.
func (g *isa) configureTiles() {
	g.tileConfig = GLOBL("tileConfig"+g.name, attr.RODATA|attr.NOPTR)
	DATA(0, U8(1)) // palette
	for i := 1; i < 16; i++ {
		DATA(i, U8(0))
	}
	for t := range 16 {
		width := uint16(64)
		if t >= 8 {
			width = 0
		}
		DATA(16+2*t, U16(width))
	}
	for t := range 16 {
		rows := uint8(16)
		if t >= 8 {
			rows = 0
		}
		DATA(48+t, U8(rows))
	}
}

// tileStretch is how many steps are done with at a time: half of the first-level cache holds those of a panel of B.
const tileStretch = 12

// panelsSignature is that of what multiplies panels. Of the last of so many steps all but some pairs are zero, and may be left out.
const panelsSignature = "(a, b *byte, steps int, c *float32, ldc, rows int, accumulate bool, ahead *byte, pairs int)"

// tilePanels multiplies panels of bfloat16: 32 rows of C at a time, in four tiles. A stretch of a panel of B stays in the first-level cache
// while those of A pass by, which are loaded past that cache. Six tiles of C, 48 rows, leave but two tiles for operands, which are then loaded more
// often for a product.
func (g *isa) tilePanels() {
	g.function("tilePanels", panelsSignature,
		`multiplies panels of A, of 32 rows, by one panel of B, to 32 columns of c: so many rows, and more to a
multiple of 16. Meanwhile it fetches what ahead points to, another panel of B, into the second-level cache.`)
	load := func(name string, r reg.Register) { Load(Param(name), r) }
	LEAQ(g.tileConfig, reg.RAX)
	tileConfigure(rax)
	load("ldc", reg.R11)
	SHLQ(U8(2), reg.R11)
	MOVQ(U32(64), reg.RDX)
	// What is ahead is fetched as four streams, a quarter of a panel each.
	load("ahead", reg.R14)
	load("steps", reg.R8)
	SHLQ(U8(9), reg.R8)
	LEAQ(Mem{Base: reg.R8, Index: reg.R8, Scale: 2}, reg.R9)

	left, stretch, adding, stretchA, stretchB := AllocLocal(8), AllocLocal(8), AllocLocal(8), AllocLocal(8), AllocLocal(8)
	load("steps", reg.R15)
	MOVQ(reg.R15, left)
	SHLQ(U8(11), reg.R15) // bytes of a panel
	load("a", reg.RAX)
	MOVQ(reg.RAX, stretchA)
	load("b", reg.RAX)
	MOVQ(reg.RAX, stretchB)
	MOVBQZX(NewParamAddr("accumulate", 48), reg.RAX)
	MOVQ(reg.RAX, adding)

	Label("stretch")
	MOVQ(left, reg.RAX)
	MOVQ(U32(tileStretch), reg.RCX)
	CMPQ(reg.RAX, reg.RCX)
	CMOVQGT(reg.RCX, reg.RAX)
	MOVQ(reg.RAX, stretch)
	MOVQ(stretchA, reg.RBX) // of the next panel
	load("c", reg.R10)
	load("rows", reg.R12)
	Label("panel")
	MOVQ(reg.RBX, reg.RSI)
	ADDQ(reg.R15, reg.RBX)
	MOVQ(stretchB, reg.RDI)
	MOVQ(stretch, reg.RCX)
	MOVQ(reg.R11, reg.R13)
	SHLQ(U8(4), reg.R13)
	ADDQ(reg.R10, reg.R13) // 16 rows on
	CMPQ(reg.R12, U8(16))
	JLE(LabelRef("half"))
	g.panelTiles("", 2, adding)
	MOVQ(reg.R11, reg.R10)
	SHLQ(U8(4), reg.R10)
	ADDQ(reg.R13, reg.R10)
	SUBQ(U8(32), reg.R12)
	JG(LabelRef("panel"))
	JMP(LabelRef("done"))
	Label("half")
	g.panelTiles("Half", 1, adding)
	Label("done")
	MOVQ(stretch, reg.RAX)
	SUBQ(reg.RAX, left)
	MOVQ(U32(1), reg.RCX)
	MOVQ(reg.RCX, adding)
	SHLQ(U8(11), reg.RAX)
	ADDQ(reg.RAX, stretchA)
	ADDQ(reg.RAX, stretchB)
	CMPQ(left, U8(0))
	JNE(LabelRef("stretch"))
	tileRelease()
	RET()
}

// panelTiles adds the product of one or two tiles of A, at RSI, and two of B at RDI, RCX steps of each, to C at R10 and R13, or sets C to it.
func (g *isa) panelTiles(name string, down uint8, adding Mem) {
	eachC := func(f func(t uint8, base general, disp int, stride general)) {
		for i, r := range []general{r10, r13}[:down] {
			f(uint8(2*i), r, 0, r11)
			f(uint8(2*i+1), r, 64, r11)
		}
	}
	CMPQ(adding, U8(0))
	JNE(LabelRef("load" + name))
	for t := range 2 * down {
		tileZero(t)
	}
	JMP(LabelRef("start" + name))
	Label("load" + name)
	eachC(tileLoad)
	Label("start" + name)
	tileStream(4, rsi, 0, rdx)
	tileLoad(6, rdi, 0, rdx)
	tileLoad(7, rdi, tileBytes, rdx)
	step := func(next bool) {
		if down == 2 {
			tileStream(5, rsi, tileBytes, rdx)
		}
		PREFETCHT1(Mem{Base: reg.R14})
		tileDotBF16(0, 4, 6)
		PREFETCHT1(Mem{Base: reg.R14, Index: reg.R8, Scale: 1})
		tileDotBF16(1, 4, 7)
		if next {
			tileStream(4, rsi, highBytes, rdx)
		}
		PREFETCHT1(Mem{Base: reg.R14, Index: reg.R8, Scale: 2})
		if down == 2 {
			tileDotBF16(2, 5, 6)
		}
		if next {
			tileLoad(6, rdi, highBytes, rdx)
		}
		PREFETCHT1(Mem{Base: reg.R14, Index: reg.R9, Scale: 1})
		if down == 2 {
			tileDotBF16(3, 5, 7)
		}
		if next {
			tileLoad(7, rdi, highBytes+tileBytes, rdx)
		}
		ADDQ(U32(64), reg.R14)
		ADDQ(U32(highBytes), reg.RSI)
		ADDQ(U32(highBytes), reg.RDI)
	}
	DECQ(reg.RCX)
	JE(LabelRef("last" + name))
	Label("step" + name)
	step(true)
	DECQ(reg.RCX)
	JNE(LabelRef("step" + name))
	Label("last" + name)
	step(false)
	eachC(tileStore)
}

// dotBF16 is VDPBF16PS: c += a·b for 16 pairs of bfloat16, all in registers of 64 bytes given by number.
func dotBF16(c, a, b uint8) {
	emit(0x62,
		(^c>>3&1)<<7|(^b>>4&1)<<6|(^b>>3&1)<<5|(^c>>4&1)<<4|2, // map 0F38
		(^a&15)<<3|1<<2|2, // W0, prefix F3
		0x40|(^a>>4&1)<<3, // 512 bits
		0x52, 0xc0|(c&7)<<3|b&7)
}

// dotAheadBytes are fetched in each step of eight rows: all of a panel of B in 64 rows.
const dotAheadBytes = 4 * 64

// dotPanels does on AVX-512's bfloat16 what tilePanels does on tiles, eight rows of C at a time. Operands that are in the second-level cache
// are there in time; rows of C, which lie far apart, are fetched shortly before they are needed.
func (g *isa) dotPanels() {
	g.function("dotPanels", panelsSignature, "is tilePanels with dot products of pairs in place of tiles, of as many as there are in the last step.")
	Load(Param("c"), reg.R10)
	Load(Param("ldc"), reg.R11)
	SHLQ(U8(2), reg.R11)
	g.dots(func(rows int) {
		load, start := label("load"), label("start")
		MOVBQZX(NewParamAddr("accumulate", 48), reg.RCX)
		TESTQ(reg.RCX, reg.RCX)
		JNE(LabelRef(load))
		zeroDots(rows)
		MOVQ(reg.R10, reg.RBX) // rows of C to be fetched: these
		JMP(LabelRef(start))
		Label(load)
		LEAQ(Mem{Base: reg.R10, Index: reg.R11, Scale: dotRows}, reg.RBX) // or the next
		MOVQ(reg.R10, reg.RSI)
		for i := range rows {
			VMOVUPS(Mem{Base: reg.RSI}, zmm[2*i])
			VMOVUPS(Mem{Base: reg.RSI, Disp: 64}, zmm[2*i+1])
			ADDQ(reg.R11, reg.RSI)
		}
		Label(start)
	}, func(int) {
		PREFETCHT0(Mem{Base: reg.RBX})
		PREFETCHT0(Mem{Base: reg.RBX, Disp: 64})
		ADDQ(reg.R11, reg.RBX)
	}, func(rows int) {
		for i := range rows {
			VMOVUPS(zmm[2*i], Mem{Base: reg.R10})
			VMOVUPS(zmm[2*i+1], Mem{Base: reg.R10, Disp: 64})
			ADDQ(reg.R11, reg.R10)
		}
		SUBQ(U8(rows), reg.R12)
		JLE(LabelRef("done"))
	})
}

// roundedDots writes the products as they are in panels.
func (g *isa) roundedDots(pairs Mem) {
	g.function("roundedDots", "(a, b *byte, steps int, to **byte, at, rows int, ahead *byte, pairs int)",
		"is dotPanels with the rows of C rounded to bfloat16, each to its own address, at bytes on, as a row of a tile.\n"+
			"There are addresses for a multiple of eight rows, of which those that are too many can be anything.")
	Load(Param("to"), reg.R10)
	Load(Param("at"), reg.R13)
	VMOVDQU64(pairs, reg.Z31)
	row := Mem{Base: reg.RAX, Index: reg.R13, Scale: 1}
	g.dots(zeroDots, func(i int) {
		MOVQ(Mem{Base: reg.R10, Disp: 8 * i}, reg.RAX)
		PREFETCHT0(row)
	}, func(rows int) {
		for i := range rows {
			x := zmm[2*i]
			roundPairs(uint8(2*i), uint8(2*i), uint8(2*i+1))
			VPERMW(x, reg.Z31, x)
			MOVQ(Mem{Base: reg.R10, Disp: 8 * i}, reg.RAX)
			VMOVUPS(x, row)
			DECQ(reg.R12)
			JEQ(LabelRef("done"))
		}
		ADDQ(U8(8*rows), reg.R10)
	})
}

// dotRows are rows of C whose sums are in registers: those of a row are two vectors. The last ones may be fewer: of six rows there are as many
// sums as the processor can have under way, so that with fewer it would not be done sooner.
const (
	dotRows  = 8
	lastRows = 6
)

// zeroDots has sums of rows begin at zero.
func zeroDots(rows int) {
	for i := range 2 * rows {
		VPXORD(zmm[i], zmm[i], zmm[i])
	}
}

// dots multiplies panels, some rows at a time: begin sets their sums, fetch fetches the place of one of them, and end stores them, takes them off R12
// and goes to "done" when there are no more.
func (g *isa) dots(begin func(rows int), fetch func(row int), end func(rows int)) {
	load := func(name string, r reg.Register) { Load(Param(name), r) }
	load("a", reg.R8)
	load("rows", reg.R12)
	load("ahead", reg.R14)
	Label("panel")
	MOVQ(U32(0), reg.R9) // of 4 groups of rows: two in each tile
	Label("group")
	CMPQ(reg.R12, U8(lastRows))
	JLE(LabelRef("last"))
	g.dotsOf(dotRows, begin, fetch)
	end(dotRows)
	INCQ(reg.R9)
	CMPQ(reg.R9, U8(4))
	JNE(LabelRef("group"))
	load("steps", reg.RCX)
	SHLQ(U8(11), reg.RCX)
	ADDQ(reg.RCX, reg.R8)
	JMP(LabelRef("panel"))
	Label("last")
	g.dotsOf(lastRows, begin, fetch)
	end(lastRows)
	Label("done")
	g.end()
}

// dotsOf computes the sums of some rows.
func (g *isa) dotsOf(rows int, begin, fetch func(int)) {
	load := func(name string, r reg.Register) { Load(Param(name), r) }
	step, dots, single, done := label("step"), label("dots"), label("pair"), label("sums")
	begin(rows)
	MOVQ(reg.R9, reg.RSI)
	SHLQ(U8(9), reg.RSI) // 8 rows of 64 bytes
	ADDQ(reg.R8, reg.RSI)
	load("b", reg.RDI)
	load("steps", reg.RCX)
	load("pairs", reg.RDX)
	CMPQ(reg.RDX, U8(16))
	JEQ(LabelRef(step))
	DECQ(reg.RCX)
	JEQ(LabelRef(single))
	Label(step)
	CMPQ(reg.RCX, U8(2))
	JNE(LabelRef(dots))
	for i := range rows {
		fetch(i)
	}
	Label(dots)
	pair := func(p int) {
		VMOVUPS(Mem{Base: reg.RDI, Disp: 64 * p}, reg.Z16)
		VMOVUPS(Mem{Base: reg.RDI, Disp: tileBytes + 64*p}, reg.Z17)
		for i := range rows {
			x := 18 + i%2
			VPBROADCASTD(Mem{Base: reg.RSI, Disp: 64*i + 4*p}, zmm[x])
			dotBF16(uint8(2*i), 16, uint8(x))
			dotBF16(uint8(2*i+1), 17, uint8(x))
		}
	}
	for p := range 16 {
		pair(p)
		if p%4 == 0 {
			PREFETCHT1(Mem{Base: reg.R14, Disp: dotAheadBytes / 16 * p})
		}
	}
	ADDQ(U32(dotAheadBytes), reg.R14)
	ADDQ(U32(highBytes), reg.RSI)
	ADDQ(U32(highBytes), reg.RDI)
	DECQ(reg.RCX)
	JNE(LabelRef(step))
	CMPQ(reg.RDX, U8(16))
	JEQ(LabelRef(done))
	Label(single)
	pair(0)
	ADDQ(U8(4), reg.RSI)
	ADDQ(U8(64), reg.RDI)
	DECQ(reg.RDX)
	JNE(LabelRef(single))
	Label(done)
}

// turnTiles writes what makes steps of lanes.
func (g *isa) turnTiles() {
	g.function("turnTiles", "(to, from *byte, next, n int)",
		`turns so many times two tiles of 32 lanes and a step, next to each other, into two of 32 lanes that were in the step, and one of what
were the lanes; next bytes later are the next two.`)
	Load(Param("to"), reg.RDI)
	Load(Param("from"), reg.RSI)
	Load(Param("next"), reg.R8)
	Load(Param("n"), reg.RCX)
	first := g.word(0x0000ffff)
	Label("tiles")
	for t := range 2 {
		for i := range 16 {
			upper, lower := Mem{Base: reg.RSI, Disp: 64 * i}, Mem{Base: reg.RSI, Disp: tileBytes + 64*i} // halves of the lanes
			VMOVDQU32(upper, reg.Z30)
			VMOVDQU32(lower, reg.Z31)
			if t == 0 {
				VPSLLD(U8(16), reg.Z31, zmm[i])
				VPTERNLOGD_BCST(U8(0xd8), first, reg.Z30, zmm[i])
			} else {
				VPSRLD(U8(16), reg.Z30, zmm[i])
				VPTERNLOGD_BCST(U8(0xe4), first, reg.Z31, zmm[i])
			}
		}
		turn()
		for i := range 16 {
			VMOVUPS(zmm[i], Mem{Base: reg.RDI, Disp: tileBytes*t + 64*i})
		}
	}
	ADDQ(reg.R8, reg.RDI)
	ADDQ(U32(highBytes), reg.RSI)
	DECQ(reg.RCX)
	JNE(LabelRef("tiles"))
	g.end()
}

// roundPairs is VCVTNE2PS2BF16: y is 16 float32 of low and then 16 of high, rounded to the nearest bfloat16, ties to even, all in
// registers given by number. Numbers below 1.2e-38 become zero.
func roundPairs(y, low, high uint8) {
	emit(0x62,
		(^y>>3&1)<<7|(^low>>4&1)<<6|(^low>>3&1)<<5|(^y>>4&1)<<4|2, // map 0F38
		(^high&15)<<3|1<<2|3, // W0, prefix F2
		0x40|(^high>>4&1)<<3, // 512 bits
		0x72, 0xc0|(y&7)<<3|low&7)
}

var zmm = []reg.Register{reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
	reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31}

// rounds writes what makes panels of bfloat16.
func (g *isa) rounds() {
	pairs := GLOBL("pairs"+g.name, attr.RODATA|attr.NOPTR)
	for i := range 16 {
		DATA(4*i, U16(i))
		DATA(4*i+2, U16(16+i))
	}
	g.round("round", `fills one tile of each step with 16 rows of 32, rounded to the nearest bfloat16, ties to even. The first 16 of a row are
at src, the others second bytes later; the next row is row bytes after, the next step's step bytes.`, pairs, false)
	g.roundGelu(pairs)
	g.round("roundTurned", "is round, and then turns the tile: its first row has the first pairs of all rows.", pairs, true)
	g.roundedDots(pairs)
	g.turnTiles()
}

// roundGelu is what comes between the two layers of a perceptron.
func (g *isa) roundGelu(pairs Mem) {
	g.function("roundGelu", "(to *byte, src, bias *float32, panel, rows int)",
		`is round of geluCoarse of src plus bias, unless that is nil, for one step of any number of rows of 32: a panel, 32 rows, is
panel bytes after the one before.`)
	to, src, bias, panel, rows := pointer("to"), pointer("src"), pointer("bias"), integer("panel"), integer("rows")
	SUBQ(U32(highBytes), panel) // after the last row of the one before
	shift := [2]reg.VecVirtual{g.zero(), g.zero()}
	unless(bias, func() {
		for i, v := range shift {
			VMOVUPS(Mem{Base: bias, Disp: 64 * i}, v)
		}
	})
	order := g.vec()
	VMOVDQU64(pairs, order)
	Label("panel")
	left := GP64()
	MOVQ(U32(32), left)
	Label("row")
	for i, v := range shift {
		x := g.vec()
		VADDPS(Mem{Base: src, Disp: 64 * i}, v, x)
		VMOVAPS(g.coarse(x), zmm[30+i])
	}
	roundPairs(30, 30, 31)
	VPERMW(reg.Z30, order, reg.Z30)
	VMOVUPS(reg.Z30, Mem{Base: to})
	ADDQ(U8(128), src)
	ADDQ(U8(64), to)
	DECQ(rows)
	JE(LabelRef("done"))
	DECQ(left)
	JNE(LabelRef("row"))
	ADDQ(panel, to)
	JMP(LabelRef("panel"))
	Label("done")
	g.end()
}

func (g *isa) round(name, doc string, pairs Mem, turned bool) {
	g.function(name, "(to *byte, src *float32, row, second, step, steps int)", doc)
	Load(Param("to"), reg.RDI)
	Load(Param("src"), reg.RSI)
	Load(Param("row"), reg.R8)
	Load(Param("second"), reg.R9)
	Load(Param("step"), reg.R10)
	Load(Param("steps"), reg.R11)
	Label("step")
	VMOVDQU64(pairs, reg.Z31)
	MOVQ(reg.RSI, reg.RAX)
	LEAQ(Mem{Base: reg.RSI, Index: reg.R9, Scale: 1}, reg.RBX)
	for i := range 16 {
		VMOVUPS(Mem{Base: reg.RAX}, reg.Z29)
		VMOVUPS(Mem{Base: reg.RBX}, reg.Z30)
		roundPairs(30, 29, 30)
		VPERMW(reg.Z30, reg.Z31, zmm[i])
		if !turned {
			VMOVUPS(zmm[i], Mem{Base: reg.RDI, Disp: 64 * i})
		}
		PREFETCHT0(Mem{Base: reg.RAX, Index: reg.R10, Scale: 1}) // of the next step
		PREFETCHT0(Mem{Base: reg.RBX, Index: reg.R10, Scale: 1})
		if i < 15 {
			ADDQ(reg.R8, reg.RAX)
			ADDQ(reg.R8, reg.RBX)
		}
	}
	if turned {
		turn()
		for i := range 16 {
			VMOVUPS(zmm[i], Mem{Base: reg.RDI, Disp: 64 * i})
		}
	}
	ADDQ(reg.R10, reg.RSI)
	ADDQ(U32(highBytes), reg.RDI)
	DECQ(reg.R11)
	JNE(LabelRef("step"))
	g.end()
}

// turn transposes 16×16 elements of 32 bits in Z0 to Z15, with the other registers.
func turn() {
	x, y := zmm[:16], zmm[16:]
	for i := 0; i < 16; i += 2 {
		VPUNPCKLDQ(x[i+1], x[i], y[i])
		VPUNPCKHDQ(x[i+1], x[i], y[i+1])
	}
	for i := 0; i < 16; i += 4 {
		for j := range 2 {
			VPUNPCKLQDQ(y[i+j+2], y[i+j], x[i+2*j])
			VPUNPCKHQDQ(y[i+j+2], y[i+j], x[i+2*j+1])
		}
	}
	// Now a quarter of x[4i+j] has the rows from 4i on of the column j of that quarter.
	for j := range 4 {
		VSHUFI32X4(U8(0x88), x[4+j], x[j], y[4*j])
		VSHUFI32X4(U8(0xdd), x[4+j], x[j], y[4*j+1])
		VSHUFI32X4(U8(0x88), x[12+j], x[8+j], y[4*j+2])
		VSHUFI32X4(U8(0xdd), x[12+j], x[8+j], y[4*j+3])
	}
	for j := range 4 {
		VSHUFI32X4(U8(0x88), y[4*j+2], y[4*j], x[j])
		VSHUFI32X4(U8(0x88), y[4*j+3], y[4*j+1], x[4+j])
		VSHUFI32X4(U8(0xdd), y[4*j+2], y[4*j], x[8+j])
		VSHUFI32X4(U8(0xdd), y[4*j+3], y[4*j+1], x[12+j])
	}
}
