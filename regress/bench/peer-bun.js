// A peer: an echo server with bun.  The argument is the port.
Bun.serve({
	hostname: "127.0.0.1",
	port: Number(process.argv[2]),
	fetch(request, server) {
		if (server.upgrade(request))
			return;
		return new Response("WebSocket only", { status: 426 });
	},
	websocket: {
		message(socket, message) {
			socket.send(message);
		},
		idleTimeout: 0,
		perMessageDeflate: false,
	},
});
