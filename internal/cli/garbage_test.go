package cli

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestGarbageIsAShareOfWhatIsInUseAndAFloorAtLeast(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{{0, 2400}, {1 << 20, 2400}, {24 << 20, 100}, {120 << 20, 20}, {8 << 30, 15}} {
		if got := percentFor(c.live); got != c.want {
			t.Errorf("%d bytes in use: %d %%, want %d", c.live, got, c.want)
		}
	}
}

func TestTheNextCollectionIsSetAfterEach(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	percent := func() uint64 {
		s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	collectInTime()
	data := make([]byte, 500<<20)
	for range 1000 {
		runtime.GC()
		if percent() == garbageShare {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if got := percent(); got != garbageShare {
		t.Errorf("with 500 MB in use %d %%, want %d", got, garbageShare)
	}
	runtime.KeepAlive(data)
	data = nil
	for range 1000 {
		runtime.GC()
		if percent() > garbageShare {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("without them still %d %%", percent())
}
