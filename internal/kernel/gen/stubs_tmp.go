package main

func (g *isa) vectors()     {}
func (g *isa) activations() {}
func (g *isa) softmax()     {}
func (g *isa) norms()       {}
func (g *isa) adam()        {}
