"""Planning over HTTP: ``antipodal serve`` and its client. Needs the extra: ``pip install 'antipodal[serve]'``.

    socket ─ guard ─ admit ─ intake ─▶ Job ─ WorkerPool ─ pipe ─▶ worker: decode → policy → JSON
             key     503     size, pixels    one process per core, killed when late

The server's process reads, checks and waits; the planning is done by worker processes, which load the network once. A
plan that never ends, or an image that crashes a decoder, costs one worker and not the service.
"""
