// Package datasets reads captioned pictures.
package datasets
