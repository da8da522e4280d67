//go:build amd64 && !linux

package kernel

// allowTiles is false where it is not known how to ask the system for the tile registers.
func allowTiles() bool { return false }
