// Package ui holds the built user interface, so that the server is one file. Its sources
// are TypeScript; `make ui` builds dist, and without it only a placeholder is here.
package ui

import "embed"

// Dist is what the build made: index.html, and assets whose names hold a hash of what
// is in them.
//
//go:embed all:dist
var Dist embed.FS
