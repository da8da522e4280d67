package hfconfig

import "fmt"

// Models larger than these are mistakes in a file, which would take all memory before the weights turn out to be others.
const (
	maxLayers  = 1000
	maxWeights = 4e9
)

// CheckSize returns an error if a configuration of so many layers and weights cannot be meant.
func CheckSize(layers int, weights float64) error {
	if layers > maxLayers {
		return fmt.Errorf("%d layers, must be at most %d", layers, maxLayers)
	}
	if weights > maxWeights {
		return fmt.Errorf("its sizes make a model of %.2g weights, must be at most %.0g: one of them is mistyped", weights, maxWeights)
	}
	return nil
}
