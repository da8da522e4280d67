package cli

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// How much garbage may stand before it is collected: a share of what is in
// use, in percent, but so many bytes at least. What is in use is mostly
// numbers, which cost the collector nothing to look through, so a small share
// saves memory and takes no time; but where little is in use, since weights
// lie outside the heap, a share alone would mean a collection for every few
// results.
const (
	garbageShare = 15
	garbageFloor = 24 << 20
)

// collectInTime sets, after each collection, when the next one is due.
func collectInTime() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	debug.SetGCPercent(percentFor(live[0].Value.Uint64()))
	// The next collection finds this unreachable.
	runtime.SetFinalizer(new([16]byte), func(*[16]byte) { collectInTime() })
}

// percentFor returns what debug.SetGCPercent takes, while so many bytes are in
// use.
func percentFor(live uint64) int {
	return max(garbageShare, int(garbageFloor*100/max(live, 1<<20)))
}
