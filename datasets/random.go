package datasets

import (
	"encoding/binary"
	"math/rand/v2"
)

// What a seed is used for. Each use, each epoch and each picture has numbers of
// its own, so none depends on how many were drawn before it.
const (
	splitStream uint64 = 1 + iota
	orderStream
	captionStream
	augmentStream
)

// random starts a stream of random numbers that depends on the seed, the use
// and at most two further keys.
func random(seed, stream uint64, keys ...int) *rand.Rand {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[0:], seed)
	binary.LittleEndian.PutUint64(key[8:], stream)
	for i, k := range keys {
		binary.LittleEndian.PutUint64(key[16+8*i:], uint64(k))
	}
	return rand.New(rand.NewChaCha8(key))
}
