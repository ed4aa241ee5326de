package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/gzip"
)

// recordsAFile is about what CloudTrail puts into a file of a busy account.
const recordsAFile = 2000

// writeCloudTrail writes n records, numbered from first, as CloudTrail delivers them: gzip files that hold one object
// with a list of records. It returns the bytes of JSON.
func writeCloudTrail(dir string, first, n int, at time.Time) (size int64, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return 0, err
	}
	for from := 0; from < n; from += recordsAFile {
		name := filepath.Join(dir, fmt.Sprintf("111122223333_CloudTrail_eu-central-1_%06d.json.gz", from/recordsAFile))
		written, err := writeCloudTrailFile(name, first+from, min(recordsAFile, n-from), at)
		if err != nil {
			return 0, err
		}
		size += written
	}
	return size, nil
}

func writeCloudTrailFile(name string, first, n int, at time.Time) (size int64, err error) {
	file, err := os.Create(name)
	if err != nil {
		return 0, err
	}
	packed := gzip.NewWriter(file)
	counted := &countingWriter{Writer: packed}
	w := bufio.NewWriterSize(counted, 1<<16)
	w.WriteString(`{"Records":[`)
	for i := range n {
		if i > 0 {
			w.WriteByte(',')
		}
		writeCloudTrailRecord(w, first+i, at)
	}
	w.WriteString("]}")
	err = errors.Join(w.Flush(), packed.Close(), file.Close())
	return counted.n, err
}

// writeCloudTrailRecord writes a data event of about 1.3 kB. Every third one names a role's session, the others a user.
func writeCloudTrailRecord(w io.Writer, n int, at time.Time) {
	identity := fmt.Sprintf(`{"type":"IAMUser","principalId":"AIDAEXAMPLE%08d","arn":"arn:aws:iam::111122223333:user/analyst%d","accountId":"111122223333","accessKeyId":"AKIAEXAMPLE%05d","userName":"analyst%d"}`,
		n%40, n%40, n%40, n%40)
	if n%3 == 0 {
		identity = fmt.Sprintf(`{"type":"AssumedRole","principalId":"AROAEXAMPLE:worker-%d","arn":"arn:aws:sts::111122223333:assumed-role/worker/worker-%d","accountId":"111122223333","accessKeyId":"ASIAEXAMPLE%05d",`+
			`"sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAEXAMPLE","arn":"arn:aws:iam::111122223333:role/worker","accountId":"111122223333","userName":"worker"},"attributes":{"creationDate":"%s","mfaAuthenticated":"false"}}}`,
			n%500, n%500, n%500, at.UTC().Add(-time.Hour).Format(time.RFC3339))
	}
	verb, readOnly := "GetObject", true
	if n%5 == 0 {
		verb, readOnly = "PutObject", false
	}
	when := at.Add(-time.Duration(n%600) * time.Second).UTC().Format(time.RFC3339)
	fmt.Fprintf(w, `{"eventVersion":"1.11","userIdentity":%s,"eventTime":"%s","eventSource":"s3.amazonaws.com","eventName":"%s","awsRegion":"eu-central-1","sourceIPAddress":"192.0.2.%d",`+
		`"userAgent":"[aws-sdk-go-v2/1.32.0 os/linux lang/go#1.24]","requestParameters":{"bucketName":"example-reports","Host":"example-reports.s3.eu-central-1.amazonaws.com","key":"2026/%02d/part-%09d.parquet"},"responseElements":null,`+
		`"additionalEventData":{"SignatureVersion":"SigV4","CipherSuite":"TLS_AES_128_GCM_SHA256","bytesTransferredIn":0,"AuthenticationMethod":"AuthHeader","bytesTransferredOut":%d},`+
		`"requestID":"%016X","eventID":"%08x-0000-4000-8000-%012x","readOnly":%t,"resources":[{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::example-reports/2026/%02d/part-%09d.parquet"},{"accountId":"111122223333","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::example-reports"}],`+
		`"eventType":"AwsApiCall","managementEvent":false,"recipientAccountId":"111122223333","eventCategory":"Data"}`,
		identity, when, verb, n%250, n%12+1, n, n%1000*512, uint64(n)*0x9E3779B97F4A7C15, uint32(n)*2654435761, n, readOnly, n%12+1, n)
}

type countingWriter struct {
	io.Writer
	n int64
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.n += int64(n)
	return n, err
}
