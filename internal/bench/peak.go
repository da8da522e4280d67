package main

import (
	"time"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
)

// A loop does nothing but a machine's arithmetic, in registers.
type loop struct {
	name  string
	flops float64 // of a round
	run   func(rounds int)
}

const (
	float32Peak  = "float32"
	bfloat16Peak = "bfloat16, AVX-512"
	int16Peak    = "int16"
	tilesPeak    = "bfloat16, tiles"
	int8Peak     = "int8, tiles"
	memoryPeak   = "memory"
)

// peaks are what the machine does at best: operations in registers, in GF/s,
// by the loop's name, and reading of memory in GB/s. What there is no loop
// for is left out.
func peaks(threads int) map[string]float64 {
	all := map[string]float64{}
	for _, l := range loops(kernel.CPU()) {
		const work = 8e8 // of a thread
		rounds := int(work / l.flops)
		all[l.name] = best(10, func() {
			kernel.Parallel(threads, 1, func(lo, hi int) { l.run((hi - lo) * rounds) })
		}, float64(threads)*float64(rounds)*l.flops)
	}
	if read := reader(kernel.CPU()); read != nil {
		const size = 256 << 20 // of a thread: about what a model weighs
		data := make([]byte, threads*size)
		for i := 0; i < len(data); i += 4096 {
			data[i] = 1 // a page of its own, not the system's page of zeros
		}
		all[memoryPeak] = best(4, func() {
			kernel.Parallel(threads, 1, func(lo, hi int) { read(&data[lo*size], (hi-lo)*size) })
		}, float64(len(data)))
	}
	return all
}

// best is the most work that f does in a nanosecond, of some tries.
func best(tries int, f func(), work float64) (most float64) {
	for range tries {
		start := time.Now()
		f()
		most = max(most, work/time.Since(start).Seconds()/1e9)
	}
	return most
}
