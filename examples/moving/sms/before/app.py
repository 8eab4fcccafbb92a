"""The tutorial's service: providers chosen by an if, each with its own templates, answered when they have answered."""

from flask import Flask, jsonify, request

TEMPLATES = {"captcha": {"aliyun": "SMS_71390007", "huawei": "8ff55eac"}}
sent = []


class Aliyun:
    def send(self, receivers, template, params):
        sent.append(("aliyun", receivers, TEMPLATES[template]["aliyun"], params))
        return True


class Huawei:
    def send(self, receivers, template, params):
        sent.append(("huawei", receivers, TEMPLATES[template]["huawei"], list(params.values())))
        return True


def create_app(provider="aliyun"):
    app = Flask(__name__)
    carrier = Aliyun() if provider == "aliyun" else Huawei()

    @app.post("/api/sms")
    def send():
        body = request.get_json()
        if carrier.send(body["receivers"], body["template"], body["params"]):
            return jsonify(message="send")
        return jsonify(message="failed"), 500

    @app.get("/api/health")
    def health():
        return jsonify(message="ok")

    return app
