package tokenizer

import (
	"container/heap"
	"hash/maphash"
	"strings"
	"sync/atomic"

	"github.com/nlpodyssey/gotokenizers/models/bpemodel"
)

// merge joins neighbouring symbols in the order of the merges, the lowest rank first and the leftmost of equals, until
// none applies, and gives the ids that are left. It takes time n log n; bpemodel's own Word.MergeAll is quadratic.
func merge(symbols []int, merges *bpemodel.MergeMap) []int {
	word := make([]bpemodel.WordSymbol, len(symbols))
	for i, id := range symbols {
		word[i] = bpemodel.WordSymbol{Symbol: bpemodel.Symbol{ID: id, Length: 1}, Prev: i - 1, Next: i + 1}
	}
	if len(word) > 0 {
		word[len(word)-1].Next = -1
	}

	queue := make(bpemodel.WordMergeHeap, 0, len(word))
	consider := func(left int) { // queues the merge of the symbol at left with its right neighbour
		if left < 0 || !word[left].HasNext() {
			return
		}
		if m, ok := merges.Get(word[left].ID, word[word[left].Next].ID); ok {
			heap.Push(&queue, bpemodel.WordMerge{MergeValue: m, Pos: left})
		}
	}
	for i := range word {
		consider(i)
	}
	for len(queue) > 0 {
		top := heap.Pop(&queue).(bpemodel.WordMerge)
		left := &word[top.Pos]
		if left.Length == 0 || !left.HasNext() {
			continue // joined to its left neighbour since it was queued, or the last one now
		}
		right := &word[left.Next]
		if m, ok := merges.Get(left.ID, right.ID); !ok || m.ID != top.ID {
			continue // another pair by now
		}
		left.MergeWith(right, top.ID)
		right.Length = 0
		if left.HasNext() {
			word[left.Next].Prev = top.Pos
		}
		consider(left.Prev)
		consider(top.Pos)
	}

	ids := make([]int, 0, len(word))
	for _, symbol := range word {
		if symbol.Length > 0 {
			ids = append(ids, symbol.ID)
		}
	}
	return ids
}

const (
	cacheSize       = 1 << 14 // words
	maxCachedLength = 64      // bytes; longer words seldom come back
)

// A cache holds the ids of words met lately. Each word has one place, which it shares with others, so the cache is
// bounded; places are read and written atomically, so it needs no lock.
type cache struct {
	seed   maphash.Seed
	places [cacheSize]atomic.Pointer[cachedWord]
}

type cachedWord struct {
	text string
	ids  []int
}

func newCache() *cache {
	return &cache{seed: maphash.MakeSeed()}
}

// get gives the ids of a word, from compute where the cache does not have them. They must not be changed.
func (c *cache) get(word string, compute func(word string) []int) []int {
	if len(word) > maxCachedLength {
		return compute(word)
	}
	place := &c.places[maphash.String(c.seed, word)%cacheSize]
	if found := place.Load(); found != nil && found.text == word {
		return found.ids
	}
	ids := compute(word)
	place.Store(&cachedWord{text: strings.Clone(word), ids: ids})
	return ids
}
