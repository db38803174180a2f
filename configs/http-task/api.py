"""Stands in for an API that labels data, on 127.0.0.1:9090: busy at first, then done at the second look."""
import http.server
import json

jobs, looks = {}, {}


class API(http.server.BaseHTTPRequestHandler):
    def answer(self, status, **body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        key = self.headers["Idempotency-Key"]
        if self.headers["X-Api-Key"] != "local-only":
            return self.answer(401)
        if not jobs and "busy" not in looks:
            looks["busy"] = True
            return self.answer(429)
        jobs.setdefault(key, {"id": str(len(jobs) + 1), "asked": json.loads(asked)})
        self.answer(201, id=jobs[key]["id"])

    def do_GET(self):
        job = self.path.split("?")[0].removeprefix("/jobs/")
        if not any(j["id"] == job for j in jobs.values()):
            return self.answer(404)
        looks[job] = looks.get(job, 0) + 1
        self.answer(200, done=looks[job] > 1, labels=looks[job] * 10)


http.server.ThreadingHTTPServer(("127.0.0.1", 9090), API).serve_forever()
