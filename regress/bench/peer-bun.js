// A peer: an echo server with bun.  The argument is the port; with a
// certificate and its key after it, it speaks TLS.
const [, , port, cert, key] = process.argv;

Bun.serve({
	hostname: "127.0.0.1",
	port: Number(port),
	...(cert && { tls: { cert: Bun.file(cert), key: Bun.file(key) } }),
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
