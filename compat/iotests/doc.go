// Package iotests is a harness for tests of QEMU's block layer, and of programs that
// drive it, in the style of QEMU's own iotests. It has machines, jobs, images, and a
// log that is compared with a file. This is a whole test:
//
//	func TestStream(t *testing.T) {
//		iotests.Each(t, []string{"raw", "qcow2"}, func(it *iotests.Test) {
//			base, top := it.Path("base.img"), it.Path("top.img")
//			it.ImgCreate(base, "64M")
//			it.QemuIO(base, "write -P 1 0 1M")
//			it.ImgCreate(top, "", "-f", "qcow2", "-b", base, "-F", it.Format)
//
//			vm := it.VM(nil).AddBlockdev(iotests.Dict{
//				"driver": "qcow2", "node-name": "top",
//				"file": iotests.Dict{"driver": "file", "filename": top},
//			}).Launch()
//			vm.QMPLog("block-stream", iotests.Dict{"job-id": "job0", "device": "top"})
//			vm.RunJob("job0", nil)
//			vm.AssertNoActiveBlockJobs()
//			vm.AssertBlockPath("top", "backing", "")
//			vm.IO("top", "read -P 1 0 1M", "read -P 0 1M 63M")
//			vm.Shutdown()
//
//			it.AssertQMPAbsent(it.ImgInfo(top), "backing-filename")
//			it.CheckGolden("stream") // go test -update writes testdata/stream.golden
//		})
//	}
//
// The methods of a [Test] and of a [VM] return no error. If something does not work, they
// fail the test, and print the command, what QEMU or the tool wrote, and the end of the
// log. For what is expected to fail there are other calls: [VM.CmdError],
// [RunJobOptions].MayFail, [Test.ImgResult].
//
// When the test ends, the harness ends all processes and removes all files of the
// test, also if the test fails or panics. If the test program itself is killed, or
// reaches go test's -timeout, its machines, servers and directories are removed
// nevertheless.
//
// A test that fails leaves a folder: for each VM a recording of its monitor, and the output
// of its process. The failure names the files. The function qmptest.ReplayFile plays the
// recording in a test without QEMU. [Options].OutputDir says where the folder is.
//
// # The guest
//
// No guest runs. By default a machine has no processor and no bus (-machine none).
// Images, jobs, exports and migration need neither. Such a machine starts quickly,
// and takes no time from tests that run at the same time. I/O comes from qemu-io
// commands inside the machine ([VM.IO]), or over NBD ([Test.OpenQemuIO]). Devices need
// a machine with a bus, such as [VMOptions].Machine "pc"; its processor is not
// started. QEMU's own iotests keep the guest quiet by the accelerator "qtest", which
// distributions often leave out.
//
// # From iotests
//
// This table gives the name here for each name there. The page docs/migrating.md
// shows whole idioms of both, side by side.
//
//	iotests                              here
//	-------                              ----
//	iotests.main(supported_fmts=...)     Each, Test.RequireFormats, Test.SkipFormats
//	supported_protocols, _cache_modes    Test.RequireProtocols, Test.RequireCacheModes, RequireAIOModes
//	@skip_if_unsupported(drivers)        Test.RequireDrivers, Test.RequireVersion
//	imgfmt, test_dir, sock_dir           Test.Format, Test.Dir, Test.SocketPath
//	FilePath, file_path                  Test.Path, Test.TempFile: removed at the end
//	VM(), add_drive, add_blockdev        Test.VM, VM.AddDrive, VM.AddBlockdev
//	add_device, add_object, add_args     VM.AddDevice, VM.AddObject, VM.AddArgs
//	add_incoming, add_fd, send_fd_scm    VM.AddIncoming, VM.AddFD, VM.PassFD
//	launch, shutdown, kill               VM.Launch, VM.Shutdown, VM.Kill
//	set_console, wrapper, get_log        VMOptions.Process, Machine.Console, Log
//	QemuStorageDaemon                    Test.QSD
//	vm.qmp, vm.command or vm.cmd         VM.QMP, VM.Cmd, CmdInto; refused: VM.CmdError
//	vm.qmp(a_b=...)                      VM.QMP("...", machine.Args{"a_b": ...})
//	vm.hmp, vm.hmp_qemu_io               VM.HMP, VM.HMPQemuIO; has to succeed: VM.HMPCmd, VM.IO
//	with use_log=True                    VM.HMPLog, VM.HMPQemuIOLog
//	pause_drive, resume_drive            VM.PauseDrive, VM.ResumeDrive, VM.WaitPaused
//	event_wait, events_wait              VM.EventWait, VM.EventsWait
//	get_qmp_events                       VM.Events, VM.EventsLog
//	run_job                              VM.RunJob
//	blockdev_create                      VM.BlockdevCreate
//	wait_ready, complete_and_wait        VM.WaitReady, VM.CompleteAndWait
//	wait_ready_and_cancel                VM.WaitReadyAndCancel
//	wait_until_completed                 VM.WaitUntilCompleted, VM.WaitUntilFailed
//	cancel_and_wait, pause_job           VM.CancelAndWait, VM.PauseJob, VM.PauseWait
//	assert_no_active_block_jobs          VM.AssertNoActiveBlockJobs
//	node_info, assert_has_block_node     VM.NodeInfo, VM.AssertHasNode
//	assert_block_path, assert_edges_list VM.AssertBlockPath, VM.BlockGraph
//	query_bitmaps, get_bitmap            VM.Bitmaps, VM.Bitmap
//	check_bitmap_status                  VM.AssertBitmapCount, or the fields of Bitmap
//	enable_migration_events              VM.EnableMigrationEvents
//	wait_migration, wait_for_runstate    VM.WaitMigration, VM.WaitForRunstate
//	qemu_img, qemu_img_create            Test.Img, Test.ImgCreate; may fail: Test.ImgResult
//	qemu_img_info, _map, _check          Test.ImgInfo, Test.ImgMap, Test.ImgCheck
//	qemu_img_measure, compare_images     Test.ImgMeasure, Test.ImgCompare, Test.AssertImagesEqual
//	image_size                           Test.ImageSize
//	qemu_img_log, img_info_log           Test.ImgLog, Test.ImgInfoLog
//	qemu_io, qemu_io_log                 Test.QemuIO, Test.QemuIOAs, Test.QemuIOLog
//	QemuIoInteractive                    Test.OpenQemuIO
//	qemu_nbd, qemu_nbd_popen             Test.NBDServe; Test.NBDServeLog
//	qemu_nbd_list_log                    Test.NBDListLog; Test.NBDList
//	log, qmp_log                         Test.Log, VM.QMPLog
//	NNN.out                              Test.CheckGolden, with testdata/NAME.golden
//	filter_qmp, filter_qmp_event         FilterQMP, FilterQMPEvent
//	filter_testfiles, filter_imgfmt      Test.FilterTestFiles, Test.FilterImgFmt
//	filter_qmp_testfiles, _imgfmt        OverStrings(it.FilterTestFiles) and so on
//	filter_generated_node_ids            FilterGeneratedNodeIDs
//	filter_qemu_io, filter_win32         FilterQemuIO, FilterWin32
//	filter_img_info                      Test.FilterImgInfo
//	dictpath, assert_qmp                 Lookup, Get, Test.AssertQMP
//	assert_qmp_absent                    Test.AssertQMPAbsent
//	assert_json_filename_equal           Test.AssertJSONFilename
//	flatten_qmp_object, qmp_to_opts      FlattenQMP, QMPToOpts
//	ordered_qmp                          OrderedQMP
//
// As in iotests, environment variables choose what the tests run with: IMGFMT,
// IMGPROTO, CACHEMODE, AIOMODE, TEST_DIR, SOCK_DIR and OUTPUT_DIR. QEMU_PROG, QEMU_IMG_PROG,
// QEMU_IO_PROG, QEMU_NBD_PROG and QSD_PROG name the programs. If a program is missing,
// the test is skipped; if the variable CI is set, it fails.
//
// # Who may call what
//
// A [Test] belongs to the goroutine of its test, which a failure ends. So do the
// [VM], the [NBDServer] and the [QemuIOSession] that the Test makes. Other goroutines
// may call [Test.Log], [Test.LogIndent], [Test.Logged], and the methods of VM.Machine.
// Any goroutine may call functions that take no Test, such as [Lookup] and [FormatJSON].
//
// # Traps
//
//   - A relative path is relative to the test's directory, [Test].Dir. For a file
//     beside the test's source use filepath.Abs.
//   - The name of a member of a [Dict] is sent unchanged: write "node-name", not
//     "node_name".
//   - To log what an iotest logs, byte for byte, set [Test].Filters to nil and give
//     each call the filters that the iotest gives. For [Test.NBDServeLog] add the
//     option "--shared=1", which is qemu-nbd's default.
//   - QEMU does not tell whether a job was started with auto-finalize or auto-dismiss
//     false. If it was, set ManualFinalize or ManualDismiss of [RunJobOptions].
//   - Before QEMU changes its graph of nodes, or quits, it waits until all requests
//     have ended. If [VM.PauseDrive] holds a request, such a command waits for ever. To
//     have I/O under way during the change, slow it down with a throttle.
//   - With [VM.AddDriveRaw], add auto-read-only=off if you use qemu-io while a job
//     runs. [VM.AddDrive] adds it.
//   - Integers in replies are int64, not int. Compare with [Test.AssertQMP] or
//     [machine.Equal], which ignore the type of a number.
//   - This package defines the flag -update. A test program cannot define another
//     flag of that name.
package iotests
