package train

// bestEpoch is the one with the least validation loss: kept in the state of a
// run.
type bestEpoch struct {
	Epoch   int     `json:"epoch"` // from 1; 0: none yet
	ValLoss float64 `json:"validation_loss"`
}

// update tells whether an epoch is better than all before. A loss that is not
// finite never is.
func (b *bestEpoch) update(loss float64, epoch int) bool {
	if loss-loss != 0 || b.Epoch > 0 && loss >= b.ValLoss {
		return false
	}
	*b = bestEpoch{epoch, loss}
	return true
}

// exhausted tells whether patience is at an end after so many epochs; the
// epochs before the first finite loss count too.
func (b bestEpoch) exhausted(epochs, patience int) bool {
	return patience > 0 && epochs-b.Epoch >= patience
}
