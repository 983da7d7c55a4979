// Package layers has the test of the project's floors: which package may import
// which other package, and which modules from outside. The package has no code
// except its test.
//
// A new package has to be added to the table at the top of layers_test.go.
package layers
