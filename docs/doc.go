// Package docs holds the pages of the documentation, and the tests that compile
// and run the Go code in them. It has no code of its own.
package docs
