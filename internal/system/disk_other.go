//go:build !(darwin || dragonfly || freebsd || linux || windows)

package system

func freeSpace(string) (int64, bool) { return 0, false }
