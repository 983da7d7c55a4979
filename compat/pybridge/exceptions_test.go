//go:build linux

package main_test

import "github.com/goqmp/qmp/internal/testing/transcripts"

const surrogates = "Python's strings have lone surrogates, so they are kept"

// exceptions has the scenarios in which the Python module differs from the recorded one in
// another way than packages legacy and compat do.
var exceptions = []transcripts.Exception{
	{
		Scenario: "accept-socket-object-with-server", Version: transcripts.V72, Rule: "the constructor takes an open socket in both generations, and refuses it for a server with a ValueError",
		Client: map[int]string{0: `{"raises": {"class": "ValueError"}}`},
	},
	{
		Scenario: "data-command-line-too-long", Rule: "a message may have 80 MiB",
		Client: map[int]string{1: `{"returns": {"$repeat": ["x", 12582912]}}`, 2: ``, 3: `{"returns": null}`},
	},

	// Of our own.
	{
		Scenario: "command-error-text-with-lone-surrogate", Rule: surrogates,
		Client: map[int]string{1: `{"raises": {"class": "ExecuteError", "error_class": "Generic\ud800Error", "desc": "a\udc00b"}}`},
	},
	{
		Scenario: "data-lone-surrogates-received", Rule: surrogates,
		Client: map[int]string{1: `{"returns": {"return": ["\ud800", "\udc00\ud800", "a\ud83dz", "\ud83d\ude00", {"\udfff": 1}]}}`},
	},
	{
		Scenario: "events-unicode-names", Rule: surrogates,
		Client: map[int]string{2: `{"returns": [{"event": "n\u00e4\ud83d\ude00"}, {"event": ""}, {"event": 5, "data": []}, {"event": "\ud800"}]}`},
	},
	{
		Scenario: "cmd-reply-with-repeated-id", Leaves: true, Rule: "a repeated member has its first place in a dict, and its last value",
		Client: map[int]string{1: `{"returns": {"id": "a", "return": 1}}`},
	},
}

// strict are scenarios in which those packages differ from the recorded library, and the
// Python module does not.
var strict = []string{
	"connect-hangs-without-greeting", // connect() has no time limit in Python
	"cmd-id-number-is-a-type-error",
	"cmd-id-list-is-a-type-error",
	"cmd-id-object-is-a-type-error",
	"disconnect-object-dropped",
}
