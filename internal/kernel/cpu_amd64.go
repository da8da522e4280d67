package kernel

import sys "golang.org/x/sys/cpu"

//go:generate go -C gen run . -isa amx -out ../kernel_amx_amd64.s -stubs ../kernel_amx_amd64.go -pkg kernel
//go:generate go -C gen run . -isa vnni -out ../kernel_vnni_amd64.s -stubs ../kernel_vnni_amd64.go -pkg kernel
//go:generate go -C gen run . -isa streams -out ../kernel_streams_amd64.s -stubs ../kernel_streams_amd64.go -pkg kernel
//go:generate go -C gen run . -isa avx512 -out ../kernel_avx512_amd64.s -stubs ../kernel_avx512_amd64.go -pkg kernel
//go:generate go -C gen run . -isa avx2 -out ../kernel_avx2_amd64.s -stubs ../kernel_avx2_amd64.go -pkg kernel

// available lists the machine's instruction sets, best first.
func available() []*simd {
	var all []*simd
	if sys.X86.HasAVX2 && sys.X86.HasFMA && sys.X86.HasBMI2 {
		if sys.X86.HasAVX512F && sys.X86.HasAVX512DQ && sys.X86.HasAVX512BW && sys.X86.HasAVX512VL {
			plain := avx512
			if sys.X86.HasAVX512VNNI {
				plain.heldInt8 = int8InDigits
			}
			if intel() && sys.X86.HasAVX512VNNI {
				plain.readAsStreams()
			}
			amx := plain
			if sys.X86.HasAMXTile && sys.X86.HasAMXBF16 && sys.X86.HasAMXInt8 && allowTiles() {
				amx.name, amx.tiles = "amx", &tiles{
					format: bfloat16Panels, tilePanels: tilePanelsAMX, apart: true, round: roundAMX, roundTurned: roundTurnedAMX, roundGelu: roundGeluAMX, finish: finishAMX, gelu: geluCoarseAMX, expSum: expSumCoarseAMX, together: 8,
					digits: digitTilesAMX, cutRows: cutRowsAMX, cutColumns: cutColumnsAMX,
				}
				all = append(all, &amx)
			}
			switch {
			case sys.X86.HasAVX512VNNI && (!sys.X86.HasAVX512BF16 || intel()): // whose dot products of bfloat16 take as long as four of int16
				plain.tiles = &int16Dots
			case sys.X86.HasAVX512BF16:
				plain.tiles = &bfloat16Dots
			}
			all = append(all, &plain)
		}
		all = append(all, &avx2)
	}
	return all
}

// intel reports whether the processor is Intel's.
func intel() bool {
	b, d, c := vendorVNNI()
	return [3]uint32{b, d, c} == [3]uint32{0x756e6547, 0x49656e69, 0x6c65746e} // GenuineIntel
}

// readAsStreams makes products with held matrices read memory as four streams, which Intel's processors need to be kept busy.
func (s *simd) readAsStreams() {
	s.held, s.heldInt8.multiply = streams, []int8Kernel{heldInt81Streams, heldInt82Streams, heldInt83Streams, heldInt84Streams}
	s.ahead = [2]int{}
}

// streams are those with elements other than int8.
var streams = [HeldInt8][]heldKernel{
	{heldFloat321Streams, heldFloat322Streams, heldFloat323Streams, heldFloat324Streams, heldFloat325Streams, heldFloat326Streams, heldFloat327Streams, heldFloat328Streams},
	{heldBFloat161Streams, heldBFloat162Streams, heldBFloat163Streams, heldBFloat164Streams, heldBFloat165Streams, heldBFloat166Streams, heldBFloat167Streams, heldBFloat168Streams},
	{heldInt241Streams, heldInt242Streams, heldInt243Streams, heldInt244Streams, heldInt245Streams, heldInt246Streams, heldInt247Streams, heldInt248Streams},
	{heldBFloat121Streams, heldBFloat122Streams, heldBFloat123Streams, heldBFloat124Streams, heldBFloat125Streams, heldBFloat126Streams, heldBFloat127Streams, heldBFloat128Streams},
}

// Products of int8, of which the rows of A are digits, and of which they are words.
var (
	int8InDigits = int8Kernels{[]int8Kernel{heldInt81VNNI, heldInt82VNNI, heldInt83VNNI, heldInt84VNNI}, quantizeAVX512}
	int8InWords  = int8Kernels{[]int8Kernel{heldInt81AVX2, heldInt82AVX2}, quantizeAVX2}
)

// Products of bfloat16 without tiles, and of int16 in their place.
var (
	bfloat16Dots = tiles{format: bfloat16Panels, tilePanels: dotPanelsAMX, roundedDots: roundedDotsAMX, turnTiles: turnTilesAMX, round: roundAMX, roundTurned: roundTurnedAMX, roundGelu: roundGeluAMX, finish: finishAMX, gelu: geluCoarseAMX, expSum: expSumCoarseAMX, together: 7}
	int16Dots    = tiles{
		format: int16Panels, tilePanels: int16PanelsVNNI, finish: finishAMX, gelu: geluCoarseAMX, expSum: expSumCoarseAMX, together: 7,
		scaled: &scaledTiles{int16SquaresVNNI, int16SquaresAcrossVNNI, int16FactorsVNNI, int16RoundVNNI, int16RoundTurnedVNNI},
	}
	int16Pairs = tiles{
		format: int16Panels, tilePanels: int16PanelsAVX2, finish: finishAVX2, gelu: geluCoarseAVX2, expSum: expSumCoarseAVX2, together: 3,
		scaled: &scaledTiles{int16SquaresAVX2, int16SquaresAcrossAVX2, int16FactorsAVX2, int16RoundAVX2, int16RoundTurnedAVX2},
	}
)

var avx512 = simd{
	name: "avx512", rows: 14, cols: 32, lanes: 16,
	tile: []func(k int, a *float32, row, step, run, jump int, b *float32, ldb int, c *float32, ldc, cols int, accumulate bool, ahead *float32){
		tile1AVX512, tile2AVX512, tile3AVX512, tile4AVX512, tile5AVX512, tile6AVX512, tile7AVX512,
		tile8AVX512, tile9AVX512, tile10AVX512, tile11AVX512, tile12AVX512, tile13AVX512, tile14AVX512,
	},
	halfTile: []func(k int, a *float32, row, step, run, jump int, b *float32, ldb int, c *float32, ldc, cols int, accumulate bool, ahead *float32){
		halfTile1AVX512, halfTile2AVX512, halfTile3AVX512, halfTile4AVX512, halfTile5AVX512, halfTile6AVX512, halfTile7AVX512,
		halfTile8AVX512, halfTile9AVX512, halfTile10AVX512, halfTile11AVX512, halfTile12AVX512, halfTile13AVX512, halfTile14AVX512,
	},
	packCopy:          packCopyAVX512,
	packTranspose:     packTransposeAVX512,
	fetch:             fetchAVX512,
	add:               addAVX512,
	axpy:              axpyAVX512,
	affine:            affineAVX512,
	scale:             scaleAVX512,
	dot:               dotAVX512,
	identity:          identityAVX512,
	relu:              reluAVX512,
	gelu:              geluAVX512,
	geluTanh:          geluTanhAVX512,
	tanh:              tanhAVX512,
	sigmoidLinear:     sigmoidLinearAVX512,
	reluGrad:          reluGradAVX512,
	geluGrad:          geluGradAVX512,
	geluTanhGrad:      geluTanhGradAVX512,
	tanhGrad:          tanhGradAVX512,
	sigmoidLinearGrad: sigmoidLinearGradAVX512,
	maximum:           maximumAVX512,
	expSum:            expSumAVX512,
	scaledDifference:  scaledDifferenceAVX512,
	subtract:          subtractAVX512,
	drop:              dropAVX512,
	layerNorm:         layerNormAVX512,
	layerNormBackward: layerNormBackwardAVX512,
	layerNormScales:   layerNormScalesAVX512,
	adam:              adamAVX512,
	held: [HeldInt8][]heldKernel{
		{heldFloat321AVX512, heldFloat322AVX512, heldFloat323AVX512, heldFloat324AVX512, heldFloat325AVX512, heldFloat326AVX512, heldFloat327AVX512, heldFloat328AVX512},
		{heldBFloat161AVX512, heldBFloat162AVX512, heldBFloat163AVX512, heldBFloat164AVX512, heldBFloat165AVX512, heldBFloat166AVX512, heldBFloat167AVX512, heldBFloat168AVX512},
		{heldInt241AVX512, heldInt242AVX512, heldInt243AVX512, heldInt244AVX512, heldInt245AVX512, heldInt246AVX512, heldInt247AVX512, heldInt248AVX512},
		{heldBFloat121AVX512, heldBFloat122AVX512, heldBFloat123AVX512, heldBFloat124AVX512, heldBFloat125AVX512, heldBFloat126AVX512, heldBFloat127AVX512, heldBFloat128AVX512},
	},
	heldInt8:         int8InWords,
	ahead:            [2]int{10240, 10240},
	largestBits:      largestBitsAVX512,
	roundPairs:       roundPairsAVX512,
	largestOfColumns: largestOfColumnsAVX512,
	quantizeColumns:  quantizeColumnsAVX512,
	groups: [HeldInt8]groupKernels{
		HeldInt24:    {cutInt24AVX512, floatsOfInt24AVX512},
		HeldBFloat12: {cutBFloat12AVX512, floatsOfBFloat12AVX512},
	},
}

var avx2 = simd{
	name: "avx2", rows: 6, cols: 16, lanes: 8,
	tile: []func(k int, a *float32, row, step, run, jump int, b *float32, ldb int, c *float32, ldc, cols int, accumulate bool, ahead *float32){
		tile1AVX2, tile2AVX2, tile3AVX2, tile4AVX2, tile5AVX2, tile6AVX2,
	},
	halfTile: []func(k int, a *float32, row, step, run, jump int, b *float32, ldb int, c *float32, ldc, cols int, accumulate bool, ahead *float32){
		halfTile1AVX2, halfTile2AVX2, halfTile3AVX2, halfTile4AVX2, halfTile5AVX2, halfTile6AVX2,
	},
	packCopy:          packCopyAVX2,
	packTranspose:     packTransposeAVX2,
	fetch:             fetchAVX2,
	add:               addAVX2,
	axpy:              axpyAVX2,
	affine:            affineAVX2,
	scale:             scaleAVX2,
	dot:               dotAVX2,
	identity:          identityAVX2,
	relu:              reluAVX2,
	gelu:              geluAVX2,
	geluTanh:          geluTanhAVX2,
	tanh:              tanhAVX2,
	sigmoidLinear:     sigmoidLinearAVX2,
	reluGrad:          reluGradAVX2,
	geluGrad:          geluGradAVX2,
	geluTanhGrad:      geluTanhGradAVX2,
	tanhGrad:          tanhGradAVX2,
	sigmoidLinearGrad: sigmoidLinearGradAVX2,
	maximum:           maximumAVX2,
	expSum:            expSumAVX2,
	scaledDifference:  scaledDifferenceAVX2,
	subtract:          subtractAVX2,
	drop:              dropAVX2,
	layerNorm:         layerNormAVX2,
	layerNormBackward: layerNormBackwardAVX2,
	layerNormScales:   layerNormScalesAVX2,
	adam:              adamAVX2,
	held: [HeldInt8][]heldKernel{
		{heldFloat321AVX2, heldFloat322AVX2, heldFloat323AVX2, heldFloat324AVX2, heldFloat325AVX2, heldFloat326AVX2, heldFloat327AVX2, heldFloat328AVX2},
		{heldBFloat161AVX2, heldBFloat162AVX2, heldBFloat163AVX2, heldBFloat164AVX2, heldBFloat165AVX2, heldBFloat166AVX2, heldBFloat167AVX2, heldBFloat168AVX2},
		{heldInt241AVX2, heldInt242AVX2, heldInt243AVX2, heldInt244AVX2, heldInt245AVX2, heldInt246AVX2, heldInt247AVX2, heldInt248AVX2},
		{heldBFloat121AVX2, heldBFloat122AVX2, heldBFloat123AVX2, heldBFloat124AVX2, heldBFloat125AVX2, heldBFloat126AVX2, heldBFloat127AVX2, heldBFloat128AVX2},
	},
	heldInt8:         int8InWords,
	ahead:            [2]int{2048, 16384},
	roundPairs:       roundPairsAVX2,
	largestBits:      largestBitsAVX2,
	largestOfColumns: largestOfColumnsAVX2,
	quantizeColumns:  quantizeColumnsAVX2,
	groups: [HeldInt8]groupKernels{
		HeldInt24:    {cutInt24AVX2, floatsOfInt24AVX2},
		HeldBFloat12: {cutBFloat12AVX2, floatsOfBFloat12AVX2},
	},
	tiles: &int16Pairs,
}
