// Package api watches what the public packages export. Each package has a file in
// testdata with its exported declarations, and a test compares the two. So a change
// of the API is visible in a review, as a change of that file.
package api
