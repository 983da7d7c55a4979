// Package layers holds the test of the project's floors: which package may
// import which, and which modules from outside. It has no code of its own.
//
// A new package belongs into the table at the top of layers_test.go.
package layers
