"""Scripts without spaces are told from those with, and from texts that were split already."""

import pytest

from textgen.text.scripts import without_spaces

WITHOUT = {
    "Chinese": ["一只棕色的狗在草地上奔跑", "两个男人骑自行车下山。"],
    "Japanese": ["茶色の犬が草の上を走っている。", "ソファで眠る猫"],
    "Thai": ["สุนัขสีน้ำตาลวิ่งบนสนามหญ้า"],
    "Khmer": ["ឆ្កែពណ៌ត្នោតកំពុងរត់លើស្មៅ"],
    "Chinese with English": ["一只狗 (a dog) 在草地上奔跑和玩耍", "他在用iPhone拍照片给朋友看"],
}
WITH = {
    "English": ["a brown dog runs over the grass"],
    "Korean": ["갈색 개가 풀밭 위를 달린다"],
    "Arabic": ["كلب بني يجري على العشب"],
    "Chinese, split": ["一只 棕色 的 狗 在 草地 上 奔跑"],
    "English with Chinese": ["The sign says 停车场 and 出口, in large letters"],
    "nothing": ["", "  ", "123 ..."],
    "none": [],
}


@pytest.mark.parametrize("texts", WITHOUT.values(), ids=WITHOUT)
def test_scripts_without_spaces_are_known(texts):
    assert without_spaces(texts)


@pytest.mark.parametrize("texts", WITH.values(), ids=WITH)
def test_what_has_words_is_left_alone(texts):
    assert not without_spaces(texts)
