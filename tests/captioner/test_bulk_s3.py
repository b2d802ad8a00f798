"""Photos behind `s3://`, from a server of this machine's own: the captions are those of the files."""

import json
import tarfile

import pytest

pytest.importorskip("ray", reason="ray is not installed")
pytest.importorskip("moto.server", reason="moto is not installed")
import pyarrow.fs
import pyarrow.parquet
from moto.server import ThreadedMotoServer

from captioner import Captioner
from captioner.bulk import bulk
from captioner.bulk_config import BulkConfig
from captioner.data.photo_sources import read_photo, references
from captioner.data.remote import Place, file_system, listing, read_bytes, write_bytes
from tests.helpers.paths import EXAMPLES
from textgen.errors import UserError

NAMES = ("cat", "coffee", "photographer")


@pytest.fixture
def bucket(monkeypatch):
    """A bucket with three photos and one that is none."""
    if not hasattr(pyarrow.fs, "S3FileSystem"):
        pytest.skip("this pyarrow was built without S3")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    file_system.cache_clear()  # of the server of another test
    pyarrow.fs.S3FileSystem(
        endpoint_override=f"{host}:{port}", scheme="http", allow_bucket_creation=True
    ).create_dir("photos")
    for name in NAMES:
        write_bytes(Place(f"s3://photos/in/{name}.jpg"), (EXAMPLES / f"{name}.jpg").read_bytes())
    write_bytes(Place("s3://photos/in/broken.png"), b"no picture")
    yield "s3://photos"
    server.stop()


def test_a_bucket_is_listed_and_read(bucket):
    found = references(f"{bucket}/in")
    assert [one.id for one in found] == sorted([*(f"{name}.jpg" for name in NAMES), "broken.png"])
    assert read_photo(found[1]) == (EXAMPLES / "cat.jpg").read_bytes()
    with pytest.raises(UserError, match="no photo there"):
        references(f"{bucket}/nowhere")
    with pytest.raises(UserError, match="no photo there"):
        references(bucket, Place(f"{bucket}/in"))


def test_tables_and_tars_of_a_bucket_are_read_where_they_lie(bucket, tmp_path):
    cat = (EXAMPLES / "cat.jpg").read_bytes()
    table = {
        "path": ["s3://photos/in/cat.jpg", None],
        "image": [{"bytes": None, "path": None}, {"bytes": cat, "path": None}],
    }
    pyarrow.parquet.write_table(pyarrow.table(table), tmp_path / "t.parquet")
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        tar.add(EXAMPLES / "cat.jpg", "cat.jpg")
    for name in ("t.parquet", "t.tar"):
        write_bytes(Place(f"{bucket}/more/{name}"), (tmp_path / name).read_bytes())
    found = references(f"{bucket}/more/t.*")
    assert [one.id for one in found] == ["t.tar/cat.jpg", "s3://photos/in/cat.jpg", "t.parquet:1"]
    assert all(read_photo(one) == cat for one in found)


@pytest.mark.slow
@pytest.mark.alone
def test_from_a_bucket_to_a_bucket(bucket):
    config = BulkConfig(part=2, workers=1)
    summary = bulk(f"{bucket}/in", f"{bucket}/out", config=config, said=lambda line: None)
    assert (summary["photos"], summary["failed"], summary["parts"]) == (4, 1, 2)
    out = Place(f"{bucket}/out")
    parts = [read_bytes(out.joined(name)) for name, _ in listing(out) if "part-" in name]
    rows = [json.loads(line) for part in parts for line in part.decode().splitlines()]
    captioner = Captioner.load()
    assert {row["id"]: row["captions"][0]["text"] for row in rows if not row.get("error")} == {
        f"{name}.jpg": captioner.caption(EXAMPLES / f"{name}.jpg")[0].text for name in NAMES
    }
    again = bulk(f"{bucket}/in", f"{bucket}/out", config=config, said=lambda line: None)
    assert again["captioned_now"] == 0
