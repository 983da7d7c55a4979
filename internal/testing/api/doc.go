// Package api pins what the public packages export: each has a file in testdata
// with its exported declarations, and a test compares the two. A change of the
// API shows in a review as a change of that file.
package api
