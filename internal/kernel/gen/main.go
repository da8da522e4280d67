// Command gen writes the assembly of package kernel for one instruction set, and the Go declarations of its functions:
//
//	go run . -isa avx512 -out ../kernel_avx512_amd64.s -stubs ../kernel_avx512_amd64.go -pkg kernel
//
// Every function is written once, for vectors of isa.lanes float32; what differs between AVX2 and AVX-512 (masks, broadcast
// operands, transposition, powers of two) is in isa.go.
package main

import (
	"flag"
	"log"

	. "github.com/mmcloughlin/avo/build"
)

func main() {
	name := flag.String("isa", "avx512", "avx2, avx512, vnni, streams or amx")
	flag.Parse()
	g, ok := isas[*name]
	if !ok {
		log.Fatalf("gen: no instruction set %q", *name)
	}
	ConstraintExpr("amd64")
	switch g.name {
	case "VNNI":
		g.heldBytes()
		g.int16s()
		g.vendor()
	case "Streams":
		g.held()
		g.heldBytes()
	case "AMX":
		g.configureTiles()
		g.tilePanels()
		g.dotPanels()
		g.rounds()
		g.finish()
		g.geluCoarse()
		g.expSumCoarse()
		g.digitTiles()
		g.digits()
	default:
		g.tiles()
		g.packs()
		g.held()
		if !g.wide() {
			g.heldWords()
			g.int16s()
			g.finish()
			g.geluCoarse()
			g.expSumCoarse()
		}
		g.quantize()
		g.roundPairs()
		g.quantizeColumns()
		g.int24s()
		g.bfloat12s()
		g.vectors()
		g.activations()
		g.softmax()
		g.norms()
		g.adam()
	}
	Generate()
}
