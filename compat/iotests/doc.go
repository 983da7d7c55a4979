// Package iotests is a harness for tests of QEMU's block layer, and of what drives
// it, in the style of QEMU's own iotests: machines, jobs, images, and a log that is
// compared. This is a whole test.
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
// Everything is bound to the test. What does not work fails it, with the command,
// what QEMU or the tool said, and the end of the log; so there are no errors to be
// handled. Whatever the test has started and made goes at its end, also when it
// fails or panics; if the test program itself is killed, or runs into go test's
// -timeout, its machines, servers and directories go all the same. A test that is
// to see something fail has other calls: [VM.CmdError], [RunJobOptions].MayFail,
// [Test.ImgResult].
//
// # The guest
//
// There is none. By default a machine has no processor and no bus (-machine none),
// which is all that images, jobs, exports and migration need, starts in a moment
// and takes no time from the tests beside it. I/O comes from qemu-io commands inside
// the machine ([VM.IO]), or over NBD ([Test.OpenQemuIO]). Devices need a machine with
// a bus, such as [VMOptions].Machine "pc"; its processor is not started. iotests keep
// the guest quiet by QEMU's accelerator "qtest", which distributions often leave out.
//
// # From iotests
//
// The page docs/migrating.md sets idioms of both side by side; this table is for
// looking up names.
//
//	iotests                              here
//	-------                              ----
//	iotests.main(supported_fmts=...)     Each, Test.RequireFormats, Test.SkipFormats
//	supported_protocols, _cache_modes    Test.RequireProtocols, Test.RequireCacheModes, RequireAIOModes
//	@skip_if_unsupported(drivers)        Test.RequireDrivers, Test.RequireVersion
//	imgfmt, test_dir, sock_dir           Test.Format, Test.Dir, Test.SocketPath
//	FilePath, file_path                  Test.Path, Test.TempFile: they go by themselves
//	VM(), add_drive, add_blockdev        Test.VM, VM.AddDrive, VM.AddBlockdev
//	add_device, add_object, add_args     VM.AddDevice, VM.AddObject, VM.AddArgs
//	add_incoming, add_fd, send_fd_scm    VM.AddIncoming, VM.AddFD, VM.PassFD
//	launch, shutdown, kill               VM.Launch, VM.Shutdown, VM.Kill
//	set_console, wrapper, get_log        VMOptions.Process, Machine.Console, Log
//	QemuStorageDaemon                    Test.QSD
//	vm.qmp, vm.command or vm.cmd         VM.QMP, VM.Cmd, CmdInto; refused: VM.CmdError
//	vm.qmp(a_b=...)                      VM.QMP("...", machine.Args{"a_b": ...})
//	vm.hmp, vm.hmp_qemu_io               VM.HMP, VM.HMPQemuIO; judged: VM.HMPCmd, VM.IO
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
//	qemu_img, qemu_img_create            Test.Img, Test.ImgCreate; unjudged: Test.ImgResult
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
// As in iotests, the variables IMGFMT, IMGPROTO, CACHEMODE, AIOMODE, TEST_DIR and
// SOCK_DIR choose what the tests run with, and QEMU_PROG, QEMU_IMG_PROG, QEMU_IO_PROG,
// QEMU_NBD_PROG and QSD_PROG which programs. A program that is missing skips a test
// on a laptop, and fails it where CI is set.
//
// # Who may call what
//
// A [Test], and the [VM], the [NBDServer] and the [QemuIOSession] that it makes,
// belong to the goroutine of the test, which a failure ends. Other goroutines may
// call [Test.Log] and the methods of VM.Machine. Functions that take no Test, such
// as [Lookup] and [FormatJSON], may be called by any goroutine.
//
// # Traps
//
//   - A relative path means the test's directory, [Test].Dir. A file beside the
//     test's source is a path of its own: take filepath.Abs.
//   - A member of a [Dict] is sent as it is written: "node-name", not "node_name".
//   - To log what an iotest logs, byte for byte, set [Test].Filters to nil and give
//     each call the filters that the iotest gives. For [Test.NBDServeLog] add the
//     option "--shared=1", which is qemu-nbd's default.
//   - A job's options auto-finalize and auto-dismiss cannot be asked for: what was
//     given to the job is told to [VM.RunJob] as well.
//   - To change its graph QEMU lets requests come to their end first: with a request
//     held by [VM.PauseDrive] such a command, or quit, waits for ever. To have I/O
//     under way meanwhile, slow it down with a throttle.
//   - With [VM.AddDriveRaw], add auto-read-only=off if there is qemu-io while a job
//     runs: [VM.AddDrive] does.
//   - The values in replies are int64, not int: compare with [Test.AssertQMP] or
//     [machine.Equal], which look at the number.
//   - The flag -update is this package's: a test program has none of its own of that
//     name.
package iotests
