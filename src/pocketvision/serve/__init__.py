"""The page that answers images on a phone: its folder, and a small server for the local network.

- `folder.write_demo(...)`: the page, a runtime and the model file in one folder that any static host can serve;
- `server.make_server(...)`: that folder at an address, with the headers that threads in WebAssembly need;
- `verb.demo(...)`: both.
"""
