package kernel

// onEveryCPU calls f with each instruction set that the machine has in use, plain Go included.
func onEveryCPU(f func(name string)) {
	defer func(old *simd) { cpu = old }(cpu)
	for _, s := range append(available(), nil) {
		cpu = s
		f(CPU())
	}
}
