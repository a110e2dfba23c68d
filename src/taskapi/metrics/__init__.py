"""Numbers about this server for Prometheus, on an address of their own: METRICS_ADDRESS.

    worker    recorder.py    counts each request, and publishes other numbers every second
       |
    sheets.py                memory that the processes share: a sheet for each worker
       |
    main process             exposition.py adds the sheets up, listener.py serves the text

Nothing here is imported without METRICS_ADDRESS.
"""
