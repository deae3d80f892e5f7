// A peer: an echo server with the package ws.  The argument is the port.
const { WebSocketServer } = require("ws");

const server = new WebSocketServer({
	host: "127.0.0.1",
	port: Number(process.argv[2]),
	backlog: 1024,
	perMessageDeflate: false,
});

server.on("connection", (socket) => {
	socket.on("message", (data, binary) => socket.send(data, { binary }));
	socket.on("error", () => {});
});
