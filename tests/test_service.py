"""The service as callers meet it: a real server, real workers, the same grasps as here."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import cv2
import httpx
import numpy as np
import pytest

from conftest import box
from policy_scenes import INTRINSICS, YUMI, seen

pytest.importorskip("fastapi", reason="needs the extra 'serve'")

from fastapi import FastAPI

from antipodal import transforms
from antipodal.camera import DepthImage
from antipodal.camera_files import load_depth
from antipodal.errors import InvalidConfig, InvalidImage, UnknownAsset
from antipodal.gripper import gripper_names
from antipodal.gripper_files import save_gripper
from antipodal.planning import PlanInputs, plan_image
from antipodal.policy import POLICIES, make_policy
from antipodal.policy.request import Request, as_request
from antipodal.quality import load_quality
from antipodal.service import describe, worker
from antipodal.service.client import PlanClient
from antipodal.service.faults import KINDS, ServiceError
from antipodal.service.schemas import EXAMPLE_OPTIONS, PlanOptions, camera_of, parse_options
from antipodal.service.worker import Answer, Job, Refusal, Setup, WarmPlanner, load_planner
from service_process import Service, command, npy, refused, running

K = 5
BUILTIN = load_quality("builtin")
CAMERA = {"intrinsics": INTRINSICS.to_json()}


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> Iterator[Service]:
    with running(["--workers", "2"], tmp_path_factory.mktemp("service")) as running_service:
        yield running_service


@pytest.fixture
def client(service) -> Iterator[PlanClient]:
    with PlanClient(service.url) as connected:
        yield connected


@pytest.fixture(scope="module")
def scene() -> tuple[DepthImage, np.ndarray]:
    image, mask = seen(box(0.03, 0.04, 0.05), yaw=0.4)
    return image.crop(200, 120, 240, 240), mask[120:360, 200:440]


def planned_here(image: DepthImage, asked, seed: int, policy: str = "cem") -> dict:
    """The K best grasps of this process, as JSON, without the time."""
    planner = make_policy(policy, BUILTIN, YUMI)
    request = dataclasses.replace(as_request(asked), n_grasps=K)
    values = plan_image(PlanInputs(image, request, YUMI, planner), seed).json
    return without_time(json.loads(json.dumps(values)))


def without_time(values: dict) -> dict:
    assert values.pop("plan_time") > 0
    return values


def post(service: Service, request: dict | str, **files: bytes) -> httpx.Response:
    """Send a multipart request."""
    text = request if isinstance(request, str) else json.dumps(request)
    parts = {name: (name, content) for name, content in files.items()}
    url = f"{service.url}/v1/plan"
    return httpx.post(url, data={"request": text}, files=parts, timeout=60, trust_env=False)


@pytest.mark.parametrize(
    ("policy", "seed"), [("cem", 0), ("cem", 7), ("antipodal", 0), ("dense", 0)]
)
def test_the_plan_is_the_local_one_to_the_last_bit(client, scene, policy, seed) -> None:
    image, mask = scene
    served = client.plan_json(image, mask, policy=policy, seed=seed, k=K)
    assert len(served["grasps"]) == K
    assert without_time(served) == planned_here(image, mask, seed, policy)


def test_the_pose_of_the_camera_and_the_absence_of_a_mask_arrive(client, scene) -> None:
    image, _ = scene
    assert image.T_world_camera is not None
    served = without_time(client.plan_json(image, k=K))
    assert served == planned_here(image, None, 0)
    blind = DepthImage(image.depth, image.intrinsics)
    assert without_time(client.plan_json(blind, k=K)) == planned_here(blind, None, 0)


def test_the_cameras_own_depth_unit_and_pose_arrive_at_the_planner() -> None:
    T = np.diag([1.0, -1.0, -1.0, 1.0])
    T[2, 3] = 0.7
    given = json.loads(json.dumps(EXAMPLE_OPTIONS))
    given["camera"] |= {"depth_unit": 0.000125, "T_world_camera": T.tolist()}
    camera = camera_of(parse_options(json.dumps(given)))
    assert camera.depth_unit == 0.000125
    np.testing.assert_array_equal(np.asarray(camera.T_world_camera), T)
    assert camera.intrinsics.to_json() == given["camera"]["intrinsics"]


def test_constraints_narrow_the_plan_there_as_here(client, scene) -> None:
    image, mask = scene
    free = client.plan(image, mask, k=K)
    u, v = free.best.center_px
    request = Request(
        mask=mask,
        box_px=np.array([u - 3, v - 3, u + 20, v + 20]),
        target_px=free.best.center_px,
        target_radius=0.03,
        workspace=np.array([[-0.2, -0.2], [0.2, -0.2], [0.2, 0.2], [-0.2, 0.2]]),
        yaw_range=np.array([-0.5, 1.2]),
        max_tilt=np.float64(0.4),
        min_height=0.003,
        width_range=np.array([0.005, 0.048]),
        n_grasps=np.int64(K),  # type: ignore[arg-type]
        min_distance=0.002,
        min_angle=0.05,
    )
    served = without_time(client.plan_json(image, request))
    assert served == planned_here(image, request, 0)
    assert 1 <= len(served["grasps"]) <= K
    assert all(g["width"] == 0.048 for g in served["grasps"])
    nowhere = client.plan(image, dataclasses.replace(request, yaw_range=np.array([1.4, 1.5])))
    assert len(nowhere.grasps) == 0 and nowhere.reason


def test_the_service_knows_every_policy_and_every_constraint_of_the_package() -> None:
    from antipodal.service.schemas import Constraints, PlanOptions

    fields = {f.name for f in dataclasses.fields(Request)}
    assert set(Constraints.model_fields) == fields - {"mask", "n_grasps"}

    known = PlanOptions.model_json_schema()["properties"]["policy"]["enum"]
    assert set(known) == {"auto", *POLICIES}


def test_the_client_gives_back_the_value_that_the_planner_gives(client, scene) -> None:
    image, mask = scene
    plan = client.plan(image, mask, seed=3, k=K)
    planner = make_policy("cem", BUILTIN, YUMI)
    here = planner(image, Request(mask=mask, n_grasps=K), np.random.default_rng(3))
    assert (plan.quality == here.quality[:K]).all()
    for name in ("center_px", "angle", "depth", "width"):
        assert (getattr(plan.grasps, name) == getattr(here.grasps, name)[:K]).all()
    np.testing.assert_allclose(plan.approach_axis, here.approach_axis, atol=1e-12)
    assert (dict(plan.counts), plan.reason) == (dict(here.counts), None)


@pytest.mark.parametrize("kind", ["png", "tiff", "npy"])
def test_each_format_is_read_as_the_file_would_be_in_both_bodies(
    service, scene, tmp_path, kind
) -> None:
    image, mask = scene
    path, unit = tmp_path / f"depth.{kind}", None
    if kind == "npy":
        np.save(path, image.depth)
    elif kind == "tiff":
        cv2.imwrite(str(path), np.array(image.depth))
    else:
        unit = 1e-4
        cv2.imwrite(str(path), np.round(image.depth * 1e4).astype(np.uint16))
    mask_png = cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes()
    expected = planned_here(load_depth(path, image.intrinsics, unit), mask, 0)
    request = {"camera": {"intrinsics": image.intrinsics.to_json()}, "k": K, "depth_unit": unit}
    response = post(service, request, depth=path.read_bytes(), mask=mask_png)
    assert without_time(response.json()) == expected
    body = {"depth": path.read_bytes(), "mask": mask_png}
    encoded = {name: base64.b64encode(content).decode() for name, content in body.items()}
    response = httpx.post(f"{service.url}/v1/plan", json=request | encoded, timeout=60)
    assert without_time(response.json()) == expected


def test_an_empty_table_is_an_empty_plan_with_its_reason(client) -> None:
    image = DepthImage(np.full((480, 640), 0.7, np.float32), INTRINSICS)
    plan = client.plan(image)
    assert len(plan.grasps) == 0
    assert plan.reason == planned_here(image, None, 0)["reason"] and "table" in plan.reason


def test_eight_callers_at_once_get_what_each_would_get_alone(service, scene) -> None:
    image, mask = scene

    def ask(seed: int) -> dict:
        with PlanClient(service.url) as own:
            return without_time(own.plan_json(image, mask, seed=seed, k=K))

    with ThreadPoolExecutor(8) as callers:
        served = list(callers.map(ask, range(8)))
    assert len({json.dumps(plan) for plan in served}) == 8
    for seed in (0, 7):
        assert served[seed] == planned_here(image, mask, seed)


def test_misuse_through_the_client_raises_what_the_planner_would_raise(client, scene) -> None:
    image, mask = scene
    with pytest.raises(UnknownAsset, match=r"unknown gripper 'claw': expected one of .*yumi"):
        client.plan(image, gripper="claw")
    with pytest.raises(InvalidImage, match="empty: expected non-zero pixels"):
        client.plan(image, np.zeros_like(mask))
    with pytest.raises(InvalidConfig, match=r"horizon.*expected a camera that looks down"):
        client.plan(DepthImage(image.depth, image.intrinsics, np.eye(4)))
    with pytest.raises(ServiceError, match="k: Input should be greater") as caught:
        client.plan(image, k=0)
    assert (caught.value.code, caught.value.status) == ("invalid_request", 422)
    with pytest.raises(ServiceError, match="is the service running"):
        PlanClient("http://127.0.0.1:9").plan(image)


FAR = transforms.look_at([0.0, 0.0, 700.0], [0.0, 0.0, 0.0]).tolist()
DEPTH = npy(np.full((480, 640), 0.7, np.float32))
REFUSALS = {
    "no camera": ({}, DEPTH, "invalid_request", "camera: Field required"),
    "no JSON": ("{", DEPTH, "invalid_request", "Invalid JSON"),
    "unknown key": ({"camera": CAMERA, "colour": 1}, DEPTH, "invalid_request", "colour"),
    "a file of the server": ({"camera": "/etc/passwd"}, DEPTH, "unknown_asset", "primesense"),
    "gripper file": ({"camera": CAMERA, "gripper": "/etc/g.toml"}, DEPTH, "unknown_asset", "yumi"),
    "too many keys": (
        {f"k{i}": 0 for i in range(10**4)},
        DEPTH,
        "invalid_request",
        "more than 5000 values",
    ),
    "some unknown keys": (
        {"camera": CAMERA} | {f"k{i}": 0 for i in range(30)},
        DEPTH,
        "invalid_request",
        "k4: Extra inputs are not permitted; and 25 more",
    ),
    "too long": ({"camera": "a" * 2**18}, DEPTH, "invalid_request", "expected at most 262144"),
    "too many grasps": ({"camera": CAMERA, "k": 10**6}, DEPTH, "invalid_request", "at most 1000"),
    "unit unknown": (
        {"camera": CAMERA},
        npy(np.full((480, 640), 700, np.uint16)),
        "invalid_image",
        "unknown unit",
    ),
    "a pose in millimetres": (
        {"camera": CAMERA | {"T_world_camera": FAR}},
        DEPTH,
        "invalid_config",
        "700 m from the world's origin: expected at most 20 m; millimetres?",
    ),
    "other size": ({"camera": "phoxi"}, DEPTH, "invalid_image", "camera says"),
    "not an image": ({"camera": CAMERA}, b"GIF89a..".ljust(99), "invalid_image", "47 49 46"),
    "a pickle": (
        {"camera": CAMERA},
        npy(np.array([[None]], object)),
        "invalid_image",
        "dtype '|O'",
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_each_refusal_has_its_code_and_says_what_was_expected(service, what) -> None:
    request, depth, code, said = REFUSALS[what]
    assert said in refused(post(service, request, depth=depth), code)


def test_the_forms_fields_are_checked(service) -> None:
    request = {"camera": CAMERA}
    assert "'depth' is missing" in refused(post(service, request, mask=DEPTH), "invalid_request")
    message = refused(post(service, request, depth=DEPTH, more=DEPTH), "invalid_request")
    assert "'more' is unknown" in message
    url = f"{service.url}/v1/plan"
    plain = {"content-type": "text/plain"}
    refused(httpx.post(url, content=b"x", headers=plain), "unsupported_media_type")
    zipped = {"content-type": "application/json", "content-encoding": "gzip"}
    refused(httpx.post(url, content=b"x", headers=zipped), "unsupported_media_type")
    broken = {"content-type": "multipart/form-data"}
    refused(httpx.post(url, content=b"x", headers=broken), "invalid_request")
    bad64 = httpx.post(url, json={"camera": "primesense", "depth": "…"})
    assert "depth: not base64" in refused(bad64, "invalid_request")


@pytest.mark.parametrize(
    ("name", "pair"),
    [
        ("gripper", '"gripper": "yumi", "gripper": "robotiq_2f85"'),
        ("constraints", '"constraints": {"box_px": [0, 0, 9, 9]}, "constraints": null'),
        ("max_tilt", r'"constraints": {"max_tilt": 0.1, "max_til\u0074": 1}'),
    ],
)
def test_a_key_that_is_given_twice_is_refused_whichever_would_count(service, name, pair) -> None:
    options = f'{{"camera": {json.dumps(CAMERA)}, {pair}'
    whole = f'{options}, "depth": "{base64.b64encode(DEPTH).decode()}"}}'
    head = {"content-type": "application/json"}
    in_json = httpx.post(f"{service.url}/v1/plan", content=whole, headers=head)
    for answer in (in_json, post(service, options + "}", depth=DEPTH)):
        assert f"key '{name}' is given twice" in refused(answer, "invalid_request")


def test_a_form_that_is_cut_off_is_refused_and_not_planned_without_its_mask(service, scene) -> None:
    image, mask = scene
    request = {"camera": {"intrinsics": image.intrinsics.to_json()}, "k": K}
    parts = {"depth": npy(image.depth), "request": json.dumps(request).encode(), "mask": npy(mask)}
    form = b"".join(
        b'--a\r\nContent-Disposition: form-data; name="%s"; filename="x"\r\n\r\n%s\r\n'
        % (name.encode(), content)
        for name, content in parts.items()
    )

    def answer(body: bytes) -> httpx.Response:
        head = {"content-type": "multipart/form-data; boundary=a"}
        return httpx.post(f"{service.url}/v1/plan", content=body, headers=head, timeout=60)

    blind = DepthImage(image.depth, image.intrinsics)
    assert without_time(answer(form + b"--a--").json()) == planned_here(blind, mask, 0)
    begun, last = form.rindex(b"--a\r\n"), b"--a--\r\n"
    for cut in (form, form[:-9000], form + b"--a", form[:begun] + last + form[begun:] + last):
        assert "was it cut off" in refused(answer(cut), "invalid_request")


@pytest.mark.parametrize("charset", ["punycode", "undefined", "utf-16", "latin-1"])
def test_a_form_in_an_odd_charset_is_refused_before_it_is_decoded(service, charset) -> None:
    head = {"content-type": f'multipart/form-data; boundary=a; charset="{charset}"'}
    for name in (b"depth", rb"\ud800"):
        part = (
            b'--a\r\nContent-Disposition: form-data; name="'
            + name
            + b'"\r\n\r\n\\ud800-\xff\r\n--a--\r\n'
        )
        answer = httpx.post(f"{service.url}/v1/plan", content=part, headers=head)
        expected = f"the form's charset is '{charset}': expected utf-8"
        assert refused(answer, "invalid_request") == expected


def test_what_a_library_has_to_say_is_a_line_of_json_too(service) -> None:
    head = {"content-type": "multipart/form-data; boundary=a"}
    part = b'--a\r\nContent-Disposition\r: form-data; name="depth"\r\n\r\n\r\n--a--\r\n'
    refused(httpx.post(f"{service.url}/v1/plan", content=part, headers=head), "invalid_request")
    said = [e for e in service.log() if e["level"] == "warning"]
    assert any("invalid character" in e["event"] for e in said)


def test_other_paths_methods_and_hosts_are_refused_in_the_same_shape(service) -> None:
    refused(httpx.get(f"{service.url}/v1/plans"), "not_found")
    assert (
        httpx.get(f"{service.url}/docs").status_code == 404
    )  # it would load scripts from elsewhere
    response = httpx.get(f"{service.url}/v1/plan")
    refused(response, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    rebound = httpx.get(f"{service.url}/metrics", headers={"host": "evil.example"})
    assert "evil.example" in refused(rebound, "wrong_host")


def test_a_web_page_of_elsewhere_cannot_send_anything(service) -> None:
    """Nor one of this machine under another of its names: a browser calls that cross-site, too."""
    url, here = f"{service.url}/metrics", "http://localhost:3000"
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "http://localhost.evil.example"},
        {"origin": "null"},
        {"origin": "http://[::1"},
        {"sec-fetch-site": "cross-site"},
        {"origin": here, "sec-fetch-site": "cross-site"},
    ):
        said = refused(httpx.get(url, headers=headers), "wrong_origin")
        assert headers.get("origin", "another site") in said
        response = httpx.post(f"{service.url}/v1/plan", content=b"", headers=headers)
        refused(response, "wrong_origin")
    for headers in ({"origin": here}, {"origin": "http://[::1]:3000"}, {"sec-fetch-site": "none"}):
        assert httpx.get(url, headers=headers).status_code == 200


def test_each_request_is_one_line_of_json_with_what_happened(service, client, scene) -> None:
    image, mask = scene
    client.plan(image, mask, seed=11, k=2)
    response = post(service, {"camera": CAMERA}, depth=b"")
    said = service.line(response.headers["x-request-id"])
    lines = [e for e in service.log() if e["event"] == "request"]
    assert [e for e in lines if e["request_id"] == said["request_id"]] == [said]
    assert (said["status"], said["error"], said["level"]) == (422, "invalid_image", "info")
    (good,) = [e for e in lines if e.get("seed") == 11]
    assert (good["status"], good["n_grasps"], good["gripper"]) == (200, 2, "yumi")
    assert 0 < good["plan_time"] < good["time_s"]


def test_metrics_count_what_was_asked(service, client, scene) -> None:
    image, mask = scene
    names = (
        'antipodal_requests_total{path="/v1/plan",status="200"}',
        "antipodal_plan_seconds_count",
    )
    before = [service.metric(name) for name in names]
    client.plan(image, mask)
    assert [service.metric(name) for name in names] == [n + 1 for n in before]
    assert service.metric("antipodal_workers") == 2
    assert service.metric("antipodal_requests_inside") == 0


def test_it_describes_itself_with_examples_that_fit_their_schemas(service) -> None:
    from antipodal.service.schemas import PlanJson, PlanOptions

    described = httpx.get(f"{service.url}/openapi.json").json()
    plan = described["paths"]["/v1/plan"]["post"]
    form = plan["requestBody"]["content"]["multipart/form-data"]
    PlanOptions.model_validate_json(json.dumps(form["example"]["request"]))
    PlanJson.model_validate(plan["responses"]["200"]["content"]["application/json"]["example"])
    statuses = {str(kind.status) for kind in KINDS.values()} - {"404", "405"}
    assert statuses <= set(plan["responses"])
    assert "PlanBody" in described["components"]["schemas"]


def test_the_description_is_made_once() -> None:
    """It costs no key to ask for."""
    app = FastAPI()
    app.post("/v1/plan", responses=describe.PLAN_RESPONSES)(lambda: None)
    describe.complete(app)
    first, second = (app.openapi()["components"]["schemas"]["PlanBody"] for _ in range(2))
    assert first is second


START_REFUSALS = {
    "no key elsewhere": (["--host", "0.0.0.0"], "expected an API key"),
    "a name that may mean anything": (["--host", "example.org"], "expected an API key"),
    "no such key file": (["--api-key-file", "nowhere"], "no API key file nowhere"),
    "a model that is none": (["--model", "nowhere.onnx"], "unknown model 'nowhere.onnx'"),
    "no worker": (["--workers", "0"], "workers 0: expected 1 to 256"),
    "no time": (["--max-plan-time", "0"], "plan_time"),
}


@pytest.mark.parametrize("what", START_REFUSALS)
def test_what_cannot_be_served_ends_in_one_line_and_code_2(what) -> None:
    arguments, said = START_REFUSALS[what]
    run = subprocess.run(
        command("--port", "0", "--workers", "1", *arguments), capture_output=True, text=True, timeout=120
    )  # fmt: skip
    assert run.returncode == 2, run.stderr
    last = run.stderr.splitlines()[-1]
    assert said in last and last.startswith("antipodal serve: ")
    assert "Traceback" not in run.stderr


def test_a_taken_port_and_a_short_key_are_refused(service, tmp_path) -> None:
    key = tmp_path / "key"
    key.write_text("short\n")
    port = service.url.rpartition(":")[2]
    for arguments, said in (
        (["--port", port], "cannot be bound"),
        (["--api-key-file", str(key)], "has 5 characters: expected at least 16"),
    ):
        run = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=120)
        assert run.returncode == 2 and said in run.stderr


@pytest.mark.parametrize(
    ("given", "trained_for", "planned_for"),
    [
        ([], "yumi", "yumi"),
        ([], "franka_hand", "franka_hand"),
        (["a"], "yumi", "a"),
        (["robotiq_2f85"], "yumi", "robotiq_2f85"),
        ([], "theirs", None),
        (["a", "b"], "yumi", None),
    ],
)
def test_a_request_without_a_gripper_is_planned_for_the_services_own_or_refused(
    given, trained_for, planned_for, tmp_path, monkeypatch, scene
) -> None:
    monkeypatch.setattr(worker, "POLICIES", {})  # nobody waits for it to be warm
    quality = dataclasses.replace(BUILTIN, gripper=trained_for)
    monkeypatch.setattr(worker, "load_quality", lambda _: quality)
    for name, width in (("a", 0.06), ("b", 0.07)):
        save_gripper(
            dataclasses.replace(YUMI, name=name, max_width=width), tmp_path / f"{name}.toml"
        )
    grippers = tuple(n if n in gripper_names() else str(tmp_path / f"{n}.toml") for n in given)
    planner = load_planner(Setup("builtin", grippers, tmp_path))
    options = {"camera": {"intrinsics": scene[0].intrinsics.to_json()}}
    depth = npy(scene[0].depth)
    for name in (None, "b") if "b" in given else (None, "yumi"):
        told = options if name is None else options | {"gripper": name}
        answer = planner.answer(Job(parse_options(json.dumps(told)), depth, ".npy"))
        if (meant := name or planned_for) is None:
            assert isinstance(answer, Refusal) and answer.code == "invalid_config"
            assert "gripper: the request names none" in answer.message
            assert all(known in answer.message for known in (*given, "yumi"))
            continue
        assert isinstance(answer, Answer)
        values = json.loads(answer.body)
        assert values["gripper"] == answer.log["gripper"] == meant
        assert values["grasps"][0]["width"] == planner.grippers[meant].max_width


def test_two_hands_of_one_name_are_refused_and_a_copy_is_the_hand_itself(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(worker, "POLICIES", {})
    path = tmp_path / "my.toml"
    save_gripper(YUMI, path)
    assert load_planner(Setup("builtin", (str(path),), tmp_path)).default == "yumi"
    save_gripper(dataclasses.replace(YUMI, max_width=0.06), path)
    with pytest.raises(InvalidConfig, match=r"gripper yumi: .*expected different names"):
        load_planner(Setup("builtin", (str(path),), tmp_path))


def test_a_bug_of_ours_costs_one_answer_and_no_worker(tmp_path, capfd) -> None:
    def broken(image: DepthImage, grasps: object) -> np.ndarray:
        raise ZeroDivisionError("not the caller's fault")

    planner = WarmPlanner(cast(Any, broken), {"yumi": YUMI}, tmp_path, "yumi")
    depth = io.BytesIO()
    image, _ = seen(box())
    np.save(depth, image.depth)
    job = Job(PlanOptions(camera="primesense"), depth.getvalue(), ".npy")
    answer = planner.answer(job)
    assert isinstance(answer, Refusal) and answer.code == "internal"
    assert "not the caller's fault" not in answer.message
    assert "not the caller's fault" in capfd.readouterr().err
