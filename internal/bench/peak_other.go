//go:build !amd64

package main

// There are no loops for this machine.
func loops(string) []loop { return nil }

func reader(string) func(p *byte, n int) { return nil }
