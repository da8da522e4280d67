package optim

import (
	"fmt"
	"math"
)

// Schedule is the factor of the learning rate for the update after step updates (from 0).
type Schedule func(step int) float64

// NewSchedule gives the schedule that Hugging Face's get_scheduler has under the name. All rise
// linearly from 0 during the first warmup updates and then
//
//	constant  stay at 1 ("constant_with_warmup" there, if warmup is not 0)
//	linear    fall in a straight line to 0 at update total
//	cosine    fall along half a cosine to 0 at update total
//
// and stay there.
//
// It fails on another name, a negative warmup, and, except for constant, on a total below 1.
func NewSchedule(name string, warmup, total int) (Schedule, error) {
	var after func(step int) float64
	progress := func(step int) float64 { return float64(step-warmup) / float64(max(1, total-warmup)) }
	switch name {
	case "constant":
		after = func(int) float64 { return 1 }
	case "linear":
		after = func(step int) float64 {
			return max(0, float64(total-step)/float64(max(1, total-warmup)))
		}
	case "cosine":
		after = func(step int) float64 { return max(0, 0.5*(1+math.Cos(math.Pi*progress(min(step, total))))) }
	default:
		return nil, fmt.Errorf("optim: unknown schedule %q, want constant, linear or cosine", name)
	}
	if warmup < 0 {
		return nil, fmt.Errorf("optim: %d warm-up steps, want 0 or more", warmup)
	}
	if total < 1 && name != "constant" {
		return nil, fmt.Errorf("optim: schedule %s over %d steps, want 1 or more", name, total)
	}
	return func(step int) float64 {
		if step < warmup {
			return float64(step) / float64(warmup)
		}
		return after(step)
	}, nil
}
