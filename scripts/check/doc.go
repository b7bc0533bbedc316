// Package check holds the rules of the house that a compiler does not know, and
// its tests hold the tree to them:
//
//   - who may import whom, and which package owns which library (imports.go)
//   - names of packages and lengths of files (files.go)
//   - no sleeping in tests, no init, no state in package variables, a comment at
//     every exported name (code.go)
//   - docs/protocol.md names every frame and code, and what the documentation
//     points at is there (docs.go)
//
// A broken rule is reported with its place and its reason. Every rule is tested
// on a sample that breaks it, so that none of them passes by looking at nothing.
package check
