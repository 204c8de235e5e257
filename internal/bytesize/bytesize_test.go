package bytesize

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{"24GB": 24e9, "1.5 GiB": 3 << 29, "4096": 4096, "0": 0, "10kB": 10000,
		"7B": 7} {
		var s Size
		require.NoError(t, s.UnmarshalText([]byte(text)))
		require.Equal(t, want, s, text)
		var back Size
		require.NoError(t, back.UnmarshalText([]byte(s.String())))
		require.Equal(t, s, back)
	}
	for _, bad := range []string{"", "GB", "-1GB", "1e30", "NaN", "inf"} {
		var s Size
		require.Error(t, s.UnmarshalText([]byte(bad)), bad)
	}
}

func TestText(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 999: "999 bytes", 1500: "1.5 kB", 98_300_000: "98 MB",
		999_600_000: "1.0 GB", 5_340_000_000: "5.3 GB", math.MaxInt64: "9223372 TB"} {
		require.Equal(t, want, Text(n))
	}
}

func TestPrecise(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 999: "999 bytes", 1000: "1 kB", 98362432: "98.4 MB",
		999_600_000: "1 GB", 7_865_956_224: "7.87 GB"} {
		require.Equal(t, want, Precise(n))
	}
}

func TestTransferred(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 bytes", 999: "999 bytes", 1500: "2 kB", 1_500_000: "1.5 MB", 98_300_000: "98 MB",
		12_340_000_000: "12.3 GB",
	} {
		require.Equal(t, want, Transferred(n))
	}
}
