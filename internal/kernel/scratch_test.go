package kernel

import "testing"

func TestABorrowedSliceIsLongEnoughAndAnEighthIsLostAtMost(t *testing.T) {
	seen := map[int]int{}
	for _, n := range []int{0, 1, 7, 15, 16, 17, 31, 32, 33, 100, 1000, 1 << 20, 1<<20 + 1, 50257 * 768} {
		c, room := class(n)
		if room < n || n > 16 && room > n+n/8 {
			t.Errorf("%d elements get room for %d", n, room)
		}
		if old, ok := seen[c]; ok && old != room {
			t.Errorf("class %d has room for %d and for %d", c, old, room)
		}
		seen[c] = room
		if again, same := class(room); again != c || same != room {
			t.Errorf("a slice of %d goes back to class %d of %d, but is of class %d of %d", room, again, same, c, room)
		}
		if x := Borrow[float32](n); len(x) != n || cap(x) < n || cap(x) > room+room/2 {
			t.Errorf("Borrow(%d) has %d elements and room for %d", n, len(x), cap(x))
		}
	}
}
