package figure

import "math"

// Arrow draws a thin arrow to (x2, y2).
func (f *Figure) Arrow(x1, y1, x2, y2 float64) {
	const length, half = 7, 3.5
	n := math.Hypot(x2-x1, y2-y1)
	dx, dy := (x2-x1)/n, (y2-y1)/n
	baseX, baseY := x2-length*dx, y2-length*dy
	f.Line("axis", x1, y1, baseX, baseY)
	points := ""
	for _, p := range [][2]float64{{x2, y2}, {baseX - half*dy, baseY + half*dx}, {baseX + half*dy, baseY - half*dx}} {
		points += number(p[0]) + "," + number(p[1]) + " "
	}
	f.element("polygon", "head", "points", points[:len(points)-1])
}
