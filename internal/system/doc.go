// Package system asks the operating system what a process takes and what a
// disk has left.
package system
