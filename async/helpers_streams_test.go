// What servers send, for the tests of rule E10 and for the fuzz target.
package async_test

// recorded is what a server sent in a session. It sent the first part at once,
// and each further part after it had read a command.
var recorded = []string{
	`{"event":"EARLY"}` + "\r\n" + `{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}` + "\r\n",
	`{"event": "BETWEEN"}` + "\r\n" + `{"return": {}, "id": 1}` + "\r\n",
	`{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP", "data": {"a": ["\"}\\", null]}}` + "\r\n" + `{"return": {"x": -1.5e3}, "id": 2}` + "\r\n",
	`{"id": 3, "error": {"class": "GenericError", "desc": "no"}}` + "\r\n",
	`{"return": "\u00e9", "id": 4}` + "\r\n" + `{"event":"LATE"}`,
}

// stream is what the server sends after the handshake in the tests below: whole
// messages.
const stream = "{\"event\": \"A\", \"data\": {\"s\": \"\\\"}\"}}\r\n\r\n {\"return\": [-1.5e3, null], \"id\": 2}\n{\"event\":\"B\"}{\"event\":\"C\"}"
