// Package secretscan has the test of the tables in package secrets: it reads schemas of
// QEMU and of the guest agent, and fails if there is a member that looks like a secret and
// that is neither masked nor known to be harmless. The package has no code except its
// test.
//
// If it fails for a new QEMU: if the member holds a secret, add it to the tables of
// package secrets, and to the list under "Secure by default" in docs/guarantees.md.
// Otherwise add it to harmless with its command and the reason: "command member".
package secretscan
